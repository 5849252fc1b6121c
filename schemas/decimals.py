"""Strict decimal strings and integers scaled by 10**8: the only way in and out for prices and quantities."""

from __future__ import annotations

import re

SCALE = 8
DIGITS = 18
ONE = 10**SCALE
LIMIT = 10**18  # exclusive bound of a scaled value: 18 digits of which 8 are decimals

_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


class DecimalError(ValueError):
    """A string that is no decimal of at most 18 digits of which 8 are decimals."""


def parse(text: str) -> int:
    """Return the decimal string `text` scaled by 10**8, exactly.

    Raises DecimalError for anything but ASCII digits with an optional sign and point, and for more than 8
    decimals or 18 digits as written, or 10 before the point. Nothing is rounded. Source: SPEC.md section 2.

    >>> parse("81307.5")
    8130750000000
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecimalError(f"expected a decimal like '12.5', got {text!r}")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > SCALE or len(whole) + len(fraction) > DIGITS:
        raise DecimalError(f"expected at most {DIGITS} digits of which {SCALE} decimals, got {text!r}")
    value: int = int(whole) * ONE + int(fraction.ljust(SCALE, "0"))
    if value >= LIMIT:
        raise DecimalError(f"expected a value below 10000000000, got {text!r}")
    return -value if sign else value


def text(value: int, scale: int = SCALE) -> str:
    """Return `value`, an integer scaled by 10**scale, as the shortest decimal string.

    >>> text(8130750000000)
    '81307.5'
    """
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(digits, 10**scale)
    tail = str(fraction).rjust(scale, "0").rstrip("0") if fraction else ""
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"


class Parsed(dict[str, int]):
    """A bounded memory of parsed decimals: prices and quantities repeat, so most look-ups are one hit."""

    def __init__(self, limit: int = 200_000) -> None:
        super().__init__()
        self.limit = limit

    def __missing__(self, key: str) -> int:
        value = parse(key)
        if len(self) >= self.limit:
            self.clear()
        self[key] = value
        return value


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half to even; `denominator` must be positive.

    >>> divide_half_even(5, 2), divide_half_even(7, 2), divide_half_even(-5, 2)
    (2, 4, -2)
    """
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient
