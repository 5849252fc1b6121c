"""Trading days: civil days of the venue's zone, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def day_bounds(day: str, zone: str) -> tuple[int, int]:
    """Return the first nanosecond of the ISO date `day` in `zone`, and that of the next day.

    >>> day_bounds("2026-03-02", "Asia/Hong_Kong")
    (1772380800000000000, 1772467200000000000)
    """
    start = date.fromisoformat(day)
    return _midnight(start, zone), _midnight(start + timedelta(days=1), zone)


def trading_day(ts: int, zone: str) -> str:
    """Return the ISO date in `zone` at `ts` (ns since the epoch)."""
    return _day_of_hour(ts // (900 * SECOND), zone)


@lru_cache(maxsize=4096)
def _day_of_hour(quarter: int, zone: str) -> str:
    # Offsets of all zones in use are multiples of a quarter of an hour.
    return (_EPOCH + timedelta(seconds=quarter * 900)).astimezone(ZoneInfo(zone)).date().isoformat()


def _midnight(day: date, zone: str) -> int:
    moment = datetime.combine(day, time(0), tzinfo=ZoneInfo(zone)).astimezone(UTC) - _EPOCH
    return (moment.days * 86_400 + moment.seconds) * SECOND
