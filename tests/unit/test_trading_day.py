"""Trading days, on the days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from detectors.trading_day import day_bounds, nanoseconds, trading_day

HOUR = 3_600_000_000_000


def ns(text: str) -> int:
    return nanoseconds(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("zone", "day", "first", "hours"),
    [
        ("Asia/Hong_Kong", "2026-03-02", "2026-03-01T16:00:00Z", 24),
        ("UTC", "2024-02-29", "2024-02-29T00:00:00Z", 24),
        ("Europe/London", "2026-03-29", "2026-03-29T00:00:00Z", 23),
        ("Europe/London", "2026-10-25", "2026-10-24T23:00:00Z", 25),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z", 24.5),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23),  # midnight is skipped
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00Z", 25),  # its last hour comes twice
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", 25),  # midnight comes twice
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0),  # the day never was
    ],
)
def test_a_day_begins_and_ends_where_its_zone_says(zone: str, day: str, first: str, hours: float) -> None:
    start, end = day_bounds(day, zone)
    assert (start, end - start) == (ns(first), hours * HOUR)
    if hours:
        said = [trading_day(ts, zone) for ts in (start - 1, start, end - 1, end)]
        assert said[1:3] == [day, day] and said[0] < day < said[3]


@pytest.mark.parametrize("zone", ["Europe/London", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"])
def test_days_follow_each_other_without_hole_or_overlap(zone: str) -> None:
    days = [(date(2005, 1, 1) + timedelta(days=number)).isoformat() for number in range(7 * 366)]
    bounds = [day_bounds(day, zone) for day in days]
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    for day, (start, end) in zip(days, bounds, strict=True):
        assert start == end or {trading_day(start, zone), trading_day(end - 1, zone)} == {day}


def test_nanoseconds_are_exact() -> None:
    assert nanoseconds(datetime(2026, 3, 1, 0, 0, 0, 999_999, UTC)) == 1_772_323_200_999_999_000
    assert ns("1969-12-31T23:59:59.999999+00:00") == -1_000


def test_what_is_no_zone_or_no_date_is_an_error() -> None:
    with pytest.raises(KeyError):
        day_bounds("2026-03-02", "Asia/Atlantis")
    with pytest.raises(ValueError, match="Invalid isoformat string"):
        day_bounds("2026-3-2", "UTC")
