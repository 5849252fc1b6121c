"""When a worker is started again, and the one line that each event of its life is."""

from __future__ import annotations

import pytest

from streams import supervisor
from streams.processes import Slot
from streams.supervision import LONGEST_WAIT, STEADY, BackOff
from streams.watch.said import Said, Why


def test_waits_grow_to_a_limit_and_begin_anew_after_a_long_life() -> None:
    waits = BackOff()
    assert [waits.died(after=2.0) for _ in range(8)] == [0, 1, 2, 4, 8, 16, LONGEST_WAIT, LONGEST_WAIT]
    assert waits.died(after=STEADY - 0.1) == LONGEST_WAIT
    assert [waits.died(after=STEADY), waits.died(after=1.0)] == [0, 1]


@pytest.mark.parametrize(
    ("status", "said"),
    [(-9, "was killed by SIGKILL"), (0, "ended with status 0"), (4, "ended with status 4"),
     (75, "cannot work for now")],
)  # fmt: skip
def test_how_a_worker_ended_is_said_in_words(status: int, said: str) -> None:
    assert supervisor._how(status) == said


def test_each_change_of_a_workers_health_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(supervisor, "say", lines.append)
    told: list[str] | None = None
    behind, full = Why("behind", "8 partitions"), Why("disk_full", "1 MiB left")
    looks = ([Why("starting", "loading")], [], [], [behind], [behind], [behind, full], [], [])
    for troubles in looks:
        answer = Said(
            stage="tag", slot=1, pid=7, well=not troubles, alive=True, troubles=troubles,
            sources=[], partitions=[],
        )  # fmt: skip
        told = supervisor._tell(Slot("tag", 1), answer, told)
    assert lines == [
        "tag 1 ready",
        "tag 1 is not well: behind: 8 partitions",
        "tag 1 is not well: behind: 8 partitions; disk_full: 1 MiB left",
        "tag 1 is well again",
    ]
