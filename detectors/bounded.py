"""Bounded memory: the oldest items of a dict go, some at a time.

Deleting a dict's first item again and again makes finding the next first one slow: its gaps stay until it is
rebuilt. An eighth at a time costs next to nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def oldest_beyond(items: dict[Key, Value], most: int) -> list[Key]:
    """Return which keys must go, oldest first: none until `items` is an eighth longer than `most`.

    >>> oldest_beyond(dict.fromkeys(range(9)), 8), oldest_beyond(dict.fromkeys(range(10)), 8)
    ([], [0, 1])
    """
    return list(islice(items, len(items) - most)) if len(items) > most + most // 8 else []
