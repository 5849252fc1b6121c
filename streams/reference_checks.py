"""What is doubtful in reference data that can be read: owners, control, registrations, overlaps in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from detectors.affiliation import Directory
from detectors.control import controls
from detectors.standing import ALWAYS, NEVER, standing
from schemas.reference import (
    Account,
    Affiliation,
    Defaults,
    Entity,
    Fact,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
    fact_key,
    fact_keys,
)
from streams.reference_rows import Problem, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OTHER_UNITS = range(19_000_101, 10**17)  # 1900-01-01 as a date in digits, to microseconds of this millennium


def doubts(rows: list[Row], file: str) -> Iterator[Problem]:
    """Yield what is wrong between facts; `file` is where what is missing should stand."""
    yield from _operators(rows, file)
    yield from _unlisted(rows)
    yield from _units_of_time(rows)
    yield from _overlaps(rows)
    yield from _controllers(rows)
    yield from _registrations(rows)
    yield from _matching(rows)


def _matching(rows: list[Row]) -> Iterator[Problem]:
    for row in rows:
        if isinstance(row.fact, Instrument) and row.fact.matching != "price_time":
            name, matching = row.fact.symbol, row.fact.matching
            reason = (
                f"{name} has matching {matching!r}: client_priority.price_time does not judge its book fills"
            )
            yield _warning(
                row, reason, 'write "price_time" if orders at one price are filled in order of time'
            )


def _error(row: Row, reason: str, remedy: str) -> Problem:
    return Problem("error", row.file, row.line, reason, remedy)


def _warning(row: Row, reason: str, remedy: str) -> Problem:
    return Problem("warning", row.file, row.line, reason, remedy)


def _moments(facts: Iterable[Fact]) -> list[int]:
    """Return a moment of each stretch of time in which the same facts are valid: its beginning."""
    bounds = {bound for fact in facts for bound in (fact.valid_from, fact.valid_to) if bound is not None}
    return [NEVER, *sorted(bounds)]


def _when(moment: int) -> str:
    if moment == NEVER:
        return "from the beginning"
    return f"from {_EPOCH + timedelta(microseconds=moment // 1_000):%Y-%m-%dT%H:%M:%SZ}"


def _operators(rows: list[Row], file: str) -> Iterator[Problem]:
    named = {row.fact.id for row in rows if isinstance(row.fact, Entity) and row.fact.operator}
    entities: dict[str, list[Entity]] = {}
    lines: dict[str, Row] = {}
    for row in rows:
        if isinstance(row.fact, Entity) and row.fact.id in named:
            entities.setdefault(row.fact.id, []).append(row.fact)
            lines[row.fact.id] = row
    seen, doubled = False, False
    for moment in _moments(fact for facts in entities.values() for fact in facts):
        operators = [
            entity
            for entity, facts in entities.items()
            if any(fact.operator for fact in standing(facts, moment, ALWAYS))
        ]
        if len(operators) > 1 and not doubled:
            doubled = True
            reason = f"expected exactly one operator, got {', '.join(sorted(operators))} {_when(moment)}"
            last = max((lines[entity] for entity in operators), key=lambda row: row.line)
            yield _error(last, reason, "keep operator = true on one, or give them dates")
        elif not operators and seen:
            yield Problem(
                "warning", file, 1, f"no operator {_when(moment)}", "date the operators without a hole"
            )
        seen = seen or bool(operators)
    if not seen:
        reason = "expected exactly one operator, got none"
        yield Problem("error", file, 1, reason, "write operator = true on the entity that runs the venue")


def _unlisted(rows: list[Row]) -> Iterator[Problem]:
    entities = {row.fact.id for row in rows if isinstance(row.fact, Entity)}
    accounts = {row.fact.account for row in rows if isinstance(row.fact, Account)}
    instruments = {row.fact.symbol for row in rows if isinstance(row.fact, Instrument)}
    clients = any(isinstance(row.fact, Defaults) and row.fact.unlisted_accounts == "client" for row in rows)
    for row in rows:
        fact = row.fact
        named: list[tuple[str, str | None]] = []
        if isinstance(fact, Account):
            named = [("entity", fact.entity)]
        elif isinstance(fact, Affiliation):
            named = [("parent", fact.parent), ("child", fact.child)]
        elif isinstance(fact, MmAgreement):
            named = [("entity", fact.entity)]
            if (fact.account is None) == (fact.entity is None):
                yield _error(row, "expected an account or an entity, and not both", "name whose quotes count")
        for key, entity in named:
            own = clients and entity is not None and entity.startswith("account:")
            if entity is not None and entity not in entities and not own:
                yield _error(row, f"{key} {entity!r} is not listed", f'add [[entities]] with id = "{entity}"')
        if isinstance(fact, MmRegistration | MmAgreement) and fact.account is not None and not clients:
            account = fact.account
            if account not in accounts:
                yield _error(
                    row, f"account {account!r} is not listed", f'add [[accounts]] with account = "{account}"'
                )
        for symbol in _symbols(fact):
            if instruments and symbol not in instruments:
                yield _warning(
                    row, f"instrument {symbol!r} is not listed", "add [[instruments]], or correct it"
                )


def _units_of_time(rows: list[Row]) -> Iterator[Problem]:
    """Yield integer times that are no likely nanoseconds: seconds and the like would stand in early 1970."""
    for row in rows:
        for name in ("valid_from", "valid_to", "recorded_at"):
            moment = getattr(row.fact, name)
            if moment is not None and moment in _OTHER_UNITS:
                yield _warning(
                    row,
                    f"{name} = {moment} is {_when(moment).removeprefix('from ')} in nanoseconds",
                    "if it was meant as seconds, milliseconds or a date, write it as a date-time with offset",
                )


def _symbols(fact: Fact) -> tuple[str, ...]:
    if isinstance(fact, MmRegistration):
        return tuple(name for name in fact.instruments if name != "*")
    return (fact.instrument,) if isinstance(fact, MmAgreement | TradingPhase) else ()


def _overlaps(rows: list[Row]) -> Iterator[Problem]:
    together: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        for key in fact_keys(row.fact):
            together.setdefault((*key, row.fact.recorded_at), []).append(row)
    told: set[tuple[str, int]] = set()
    for same in together.values():
        same.sort(key=lambda row: NEVER if row.fact.valid_from is None else row.fact.valid_from)
        longest = same[0]
        for row in same[1:]:
            end, start = longest.fact.valid_to, row.fact.valid_from
            later = max(longest, row, key=lambda row: (row.file, row.line))
            if (end is None or start is None or end > start) and later[1:] not in told:
                told.add(later[1:])
                other = row if later is longest else longest
                what = " ".join(fact_key(row.fact))
                reason = f"two facts on {what} at one time ({other.file}:{other.line}), with one recorded_at"
                yield _error(
                    later, reason, "end one with valid_to, or give the correction a later recorded_at"
                )
            if end is not None and (row.fact.valid_to is None or row.fact.valid_to > end):
                longest = row


def _controllers(rows: list[Row]) -> Iterator[Problem]:
    holdings: dict[str, dict[str, list[Affiliation]]] = {}
    lines: dict[tuple[str, str], Row] = {}
    for row in rows:
        fact = row.fact
        if isinstance(fact, Affiliation):
            holdings.setdefault(fact.child, {}).setdefault(fact.parent, []).append(fact)
            if controls(fact) and not fact.withdrawn:
                lines[fact.parent, fact.child] = row
    for child, parents in holdings.items():
        for moment in _moments(fact for facts in parents.values() for fact in facts):
            controlling = sorted(
                parent
                for parent, facts in parents.items()
                if any(controls(fact) for fact in standing(facts, moment, ALWAYS))
            )
            if len(controlling) > 1:
                last = max((lines[parent, child] for parent in controlling), key=lambda row: row.line)
                reason = f"{child} has two controllers {_when(moment)}: {', '.join(controlling)}"
                yield _warning(last, reason, "both of their groups become one; end a holding with valid_to")
                break


def _registrations(rows: list[Row]) -> Iterator[Problem]:
    directory = Directory((row.fact for row in rows), hindsight=True)
    frame = [row.fact for row in rows if isinstance(row.fact, Entity | Affiliation | Defaults)]
    listed = {row.fact.account for row in rows if isinstance(row.fact, Account)}
    clients = any(isinstance(row.fact, Defaults) and row.fact.unlisted_accounts == "client" for row in rows)
    accounts: dict[str, list[Fact]] = {}
    for row in rows:
        if isinstance(row.fact, Account | MmRegistration):
            accounts.setdefault(row.fact.account, []).append(row.fact)
    general = _moments(frame)
    for row in rows:
        fact = row.fact
        if isinstance(fact, MmRegistration) and not fact.withdrawn and (clients or fact.account in listed):
            own = accounts[fact.account]
            moments = [moment for moment in sorted({*general, *_moments(own)}) if _stands(fact, own, moment)]
            inside = [moment for moment in moments if _affiliated(directory, fact.account, moment)]
            outside = [moment for moment in moments if moment not in set(inside)]
            yield from _registration(row, fact, inside, outside)


def _registration(row: Row, fact: MmRegistration, inside: list[int], outside: list[int]) -> Iterator[Problem]:
    name = fact.account
    if fact.affiliated and outside and not inside:
        reason = f"{name} is registered as affiliated but is outside the operator's group (role market_maker)"
        yield _error(row, reason, "add the affiliation that is missing, or register it as independent")
    elif fact.affiliated and outside:
        reason = f"{name} is registered as affiliated but is outside the operator's group {_when(outside[0])}"
        yield _warning(row, reason, "date the registration like the affiliation")
    elif not fact.affiliated and inside:
        reason = f"{name} is registered as independent but is in the operator's group {_when(inside[0])}"
        yield _warning(row, reason, "its role is affiliate: register it as affiliated")


def _stands(fact: MmRegistration, own: list[Fact], moment: int) -> bool:
    registrations = [other for other in own if isinstance(other, MmRegistration)]
    return any(
        fact in standing([other for other in registrations if name in other.instruments], moment, ALWAYS)
        for name in fact.instruments
    )


def _affiliated(directory: Directory, account: str, moment: int) -> bool:
    return directory.role(account, "*", moment) in ("affiliated_mm", "affiliate")
