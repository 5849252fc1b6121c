"""Parameters of rules: integers with units, read exactly, and nothing that the rule does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_type_hints

import msgspec

from detectors.trading_day import SECOND
from schemas.decimals import DecimalError, parse, text

MICRO = 1_000_000  # bps, percent and ratios are integers scaled by 10**6
_DURATIONS = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND, "min": 60 * SECOND, "h": 3_600 * SECOND,
    "d": 86_400 * SECOND, "day": 86_400 * SECOND, "days": 86_400 * SECOND,
}  # fmt: skip
_SCALES: dict[str, dict[str, int]] = {
    "duration": _DURATIONS,
    "ticks": {"ticks": 1, "tick": 1},
    "count": {"": 1},
    "quantity": {"": 10**8},
    "bps": {"bps": MICRO},
    "percent": {"%": MICRO},
    "ratio": {"": MICRO, "x": MICRO},
}
_EXAMPLES = {
    "duration": '"1 s" (ns, us, ms, s, min, h or days)', "ticks": '"1 tick"', "count": "3",
    "quantity": '"0.05"', "bps": '"20 bps"', "percent": '"50 %"', "ratio": '"3.0" or "3 x"',
}  # fmt: skip


class RulebookError(ValueError):
    """The rulebook says something it must not: what was expected, what came. `line` from 1, where known."""

    def __init__(self, reason: str, *, key: str | None = None, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.key = key
        self.line = line


class Unit(msgspec.Struct, frozen=True):
    """The unit of a parameter: duration (ns), ticks, count, quantity (10**8), bps, percent, ratio (10**6).

    >>> Unit("duration").read("1.5 ms"), Unit("bps").read("20 bps"), Unit("ratio").read("3.0")
    (1500000, 20000000, 3000000)
    """

    name: Literal["duration", "ticks", "count", "quantity", "bps", "percent", "ratio"]

    def read(self, value: object) -> int:
        """Return the parameter as an integer in this unit's scale.

        Raises RulebookError for another unit, none where one is due, or what is no whole number of the scale.
        """
        if self.name == "count" and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        match = re.fullmatch(r"([0-9.]+) ?([a-z%]*)", value) if isinstance(value, str) else None
        scale = _SCALES[self.name].get(match[2]) if match is not None else None
        if match is None or scale is None:
            raise RulebookError(f"expected a {self.name} like {_EXAMPLES[self.name]}, got {value!r}")
        try:
            whole, rest = divmod(parse(match[1]) * scale, 10**8)
        except DecimalError as error:
            raise RulebookError(f"expected a {self.name} like {_EXAMPLES[self.name]}: {error}") from error
        if rest:
            raise RulebookError(
                f"expected a {self.name} without a fraction of its smallest unit, got {value!r}"
            )
        return whole

    def write(self, value: int) -> str:
        """Return a value in this unit's scale as the rulebook writes it, in its largest whole unit.

        >>> Unit("duration").write(1_500_000), Unit("bps").write(20_000_000), Unit("duration").write(0)
        ('1500 us', '20 bps', '0 ns')
        """
        if self.name == "duration":
            whole = [item for item in _DURATIONS.items() if not value % item[1]]
            name, size = max(whole, key=lambda item: item[1] if value else -item[1])
            return f"{value // size} {name}"
        name, size = next(iter(_SCALES[self.name].items()))
        number = text(value * 10**8 // size)
        return f"{number} {name if value != 1 or self.name != 'ticks' else 'tick'}".strip()


def parameters_from(data: Mapping[str, object], type_: type[msgspec.Struct]) -> Any:
    """Return `data` as parameters of `type_`: fields annotated with a Unit are read as that.

    Raises RulebookError naming the key, what was expected and what came; unknown keys are refused.
    """
    hints = get_type_hints(type_, include_extras=True)
    allowed = type_.__struct_fields__
    values: dict[str, object] = {}
    for key, value in data.items():
        if key not in allowed:
            known = ", ".join(sorted(allowed)) or "no keys at all"
            raise RulebookError(f"unknown key {key!r}; expected one of: {known}", key=key)
        unit = next(
            (item for item in getattr(hints[key], "__metadata__", ()) if isinstance(item, Unit)), None
        )
        try:
            values[key] = value if unit is None else unit.read(value)
        except RulebookError as error:
            raise RulebookError(f"{key}: {error.reason}", key=key) from error
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        at = re.search(r"`\$\.([A-Za-z_]+)", str(error))
        raise RulebookError(str(error), key=at[1] if at else None) from error
