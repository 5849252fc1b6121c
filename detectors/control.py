"""Who controls whom: entities joined into groups by control, in any number of steps. SPEC.md section 2.4.

Percentages are not multiplied: a subsidiary of a subsidiary belongs to the group. What this misses: control
without a holding that anybody listed, and concert parties. A joint venture controlled by two unrelated
parents joins both of their groups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from schemas.decimals import parse
from schemas.reference import Affiliation

CONTROL = parse("50")
WATCHED = parse("20")


def controls(holding: Affiliation) -> bool:
    """Return True for control: flagged, or more than 50 %.

    >>> controls(Affiliation(parent="p", child="c", control_pct="50"))
    False
    >>> controls(Affiliation(parent="p", child="c", control_pct="50.01"))
    True
    """
    return holding.control or (holding.control_pct is not None and parse(holding.control_pct) > CONTROL)


def watched(holding: Affiliation) -> bool:
    """Return True for 20 to 50 % without control."""
    return (
        not holding.control
        and holding.control_pct is not None
        and WATCHED <= parse(holding.control_pct) <= CONTROL
    )


def control_groups(holdings: Iterable[Affiliation], operators: Collection[str]) -> dict[str, str]:
    """Return the group of every entity that `holdings` name; an entity not in it is a group of its own.

    Cycles and the order of `holdings` do not matter. A group is named after the operator if it has it, or
    else after its smallest entity id.

    >>> first = Affiliation(parent="b", child="c", control=True)
    >>> second = Affiliation(parent="c", child="a", control=True)
    >>> sorted(control_groups([first, second], ["c"]).items())
    [('a', 'c'), ('b', 'c'), ('c', 'c')]
    """
    above: dict[str, str] = {}

    def top(entity: str) -> str:
        while (parent := above.setdefault(entity, entity)) != entity:
            above[entity] = above[parent]  # halve the path: look-ups stay short
            entity = parent
        return entity

    for holding in holdings:
        if controls(holding):
            above[top(holding.child)] = top(holding.parent)
    members: dict[str, list[str]] = {}
    for entity in list(above):
        members.setdefault(top(entity), []).append(entity)
    groups: dict[str, str] = {}
    for group in members.values():
        name = min((entity for entity in group if entity in operators), default=min(group))
        groups.update(dict.fromkeys(group, name))
    return groups
