"""A recording on disk: read in order of time, whole or damaged; written; and told what is wrong with it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from schemas.events import Topic
from streams.sources import recording
from streams.sources.recording import RecordingError

REFERENCE = """
[[instruments]]
symbol = "X"
tick_size = "1"
[[entities]]
id = "venue"
operator = true
[[entities]]
id = "alice"
[[accounts]]
account = "C-1"
entity = "alice"
"""


def order(seq: int, **changes: Any) -> dict[str, Any]:
    record = {
        "instrument": "X", "seq": seq, "ts": seq * 10, "exec_type": "new", "order_id": f"O{seq}",
        "account": "C-1", "side": "buy", "price": "10", "order_qty": "1",
    }  # fmt: skip
    return {name: value for name, value in (record | changes).items() if value is not ...}


def quote(seq: int) -> dict[str, Any]:
    return {"instrument": "X", "seq": seq, "ts": seq * 10, "bid_px": "10", "bid_size": "1"}


def jsonl(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def folder(path: Path, reference: str = REFERENCE, **files: bytes) -> Path:
    """Write a recording; `orders_gz` becomes orders.jsonl.gz."""
    (path / "reference.toml").write_text(reference)
    for name, data in files.items():
        topic, _, packed = name.partition("_")
        (path / f"{topic}.jsonl{'.' + packed if packed else ''}").write_bytes(data)
    return path


def recorded(path: Path, packed: str, data: bytes) -> Path:
    """Write a recording of packed orders alone."""
    (path / f"orders.jsonl.{packed}").write_bytes(data)
    return path


def places(path: Path, faults: list[str] | None = None) -> list[tuple[Topic, int]]:
    return [(line.topic, line.number) for line in recording.read(path, faults)]


def told(path: Path) -> list[str]:
    return [f"{it.file}:{it.line}: {it.severity}: {it.reason}" for it in recording.check(path)]


# ---- reading ----------------------------------------------------------------------------------------


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1), order(4)), quotes=jsonl(quote(2), quote(3), quote(5)))
    assert places(path) == [("orders", 1), ("quotes", 1), ("quotes", 2), ("orders", 2), ("quotes", 3)]


def test_each_file_keeps_its_own_order_where_time_goes_back(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(9), order(1)), quotes=jsonl(quote(2)))
    assert places(path) == [("quotes", 1), ("orders", 1), ("orders", 2)]


def test_an_unreadable_line_comes_at_once(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1)) + b"\xff{\n" + jsonl(order(5)), quotes=jsonl(quote(2)))
    assert places(path) == [("orders", 1), ("orders", 2), ("quotes", 1), ("orders", 3)]


def test_an_array_has_the_time_of_its_first_record(tmp_path: Path) -> None:
    array = json.dumps([order(3), order(4)]).encode()
    path = folder(tmp_path, orders=array + b"\n[]\n[", quotes=jsonl(quote(2), quote(5)))
    assert places(path) == [("quotes", 1), ("orders", 1), ("orders", 2), ("orders", 3), ("quotes", 2)]


def test_blank_lines_say_nothing_but_are_counted(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=b"\n" + jsonl(order(1)) + b" \r\n\n" + jsonl(order(2)).rstrip())
    assert places(path) == [("orders", 2), ("orders", 5)]


def test_lines_keep_their_bytes_without_the_line_end(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=b' {"a" : 1} \r\n')
    assert [line.data for line in recording.read(path)] == [b' {"a" : 1} ']


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress}
MANY = jsonl(*(order(seq, account=f"A{seq * 7919}") for seq in range(1, 5_001)))


@pytest.mark.parametrize("packed", PACKERS)
def test_a_packed_file_of_several_parts_is_read_whole(tmp_path: Path, packed: str) -> None:
    pack = PACKERS[packed]
    path = recorded(tmp_path, packed, pack(MANY[:100_001]) + pack(MANY[100_001:]))
    faults: list[str] = []
    read = [line.data for line in recording.read(path, faults)]
    assert (b"\n".join(read) + b"\n", faults) == (MANY, [])


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.9])
def test_a_truncated_file_gives_what_can_be_read_and_a_fault(
    tmp_path: Path, packed: str, share: float
) -> None:
    whole = PACKERS[packed](MANY)
    path = recorded(tmp_path, packed, whole[: int(len(whole) * share)])
    faults: list[str] = []
    read = [line.data for line in recording.read(path, faults)]
    assert MANY.startswith(b"\n".join(read))
    assert (len(read) > 1_000) == (share == 0.9)
    assert faults == [
        f"orders.jsonl.{packed}:{len(read)}: the file is truncated, its {packed} data has no end; "
        "what comes after is lost"
    ]


@pytest.mark.parametrize("packed", PACKERS)
def test_what_lies_before_a_damaged_place_is_read(tmp_path: Path, packed: str) -> None:
    whole = PACKERS[packed](MANY)
    wrong_checksum, no_block = whole[:-8] + bytes(8), whole[: len(whole) * 9 // 10] + b"\xff" * 300_000
    path = recorded(tmp_path, packed, wrong_checksum if packed == "gz" else no_block)
    faults: list[str] = []
    read = [line.data for line in recording.read(path, faults)]
    assert read[:1_000] == MANY.splitlines()[:1_000]
    [fault] = faults
    assert fault.startswith(f"orders.jsonl.{packed}:{len(read)}: expected {packed} data, got damaged bytes (")


def test_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="expected the folder of a recording; it does not exist"):
        recording.files(tmp_path / "none")
    with pytest.raises(RecordingError, match=r"expected orders\.jsonl, trades\.jsonl or quotes\.jsonl"):
        recording.files(tmp_path)
    folder(tmp_path, orders=b"", orders_gz=gzip.compress(b""))
    with pytest.raises(RecordingError, match=r"got orders\.jsonl, orders\.jsonl\.gz; remove all but one"):
        recording.files(tmp_path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    records: list[tuple[Topic, dict[str, Any] | bytes]] = [
        ("orders", order(1)), ("quotes", quote(2)), ("orders", b"not JSON"), ("orders", order(3)),
    ]  # fmt: skip
    counts = recording.write(tmp_path / "new" / "day", records, REFERENCE)
    assert counts == {"orders": 3, "trades": 0, "quotes": 1}
    read = [(line.topic, line.data) for line in recording.read(tmp_path / "new" / "day")]
    assert [topic for topic, _ in read] == ["orders", "orders", "quotes", "orders"]
    assert [json.loads(data) for _, data in read if data != b"not JSON"] == [order(1), quote(2), order(3)]
    assert (tmp_path / "new" / "day" / "reference.toml").read_text() == REFERENCE


# ---- checking ---------------------------------------------------------------------------------------


def test_nothing_to_say_of_a_sound_recording(tmp_path: Path) -> None:
    assert told(folder(tmp_path, orders=jsonl(order(1), order(3)), quotes=jsonl(quote(2)))) == []


def test_refused_lines(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1), order(2, price=10.5)) + b"{\n" + jsonl(order(2)))
    assert told(path) == [
        "orders.jsonl:2: error: wrong_type (seq 2): Expected `str | null`, got `float` - at `$.price`",
        "orders.jsonl:3: error: not_json: expected JSON: Input data was truncated",
    ]
    assert all(problem.remedy for problem in recording.check(path))


def test_a_refused_record_within_an_array(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=json.dumps([order(1), order(2, order_qty="0")]).encode())
    assert told(path) == [
        "orders.jsonl:1: error: record 2 of the array: bad_value (seq 2): order_qty: expected > 0, got 0"
    ]


def test_duplicates_and_conflicts_across_files(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1), order(2), order(2)), quotes=jsonl(quote(2)))
    assert told(path) == [
        "orders.jsonl:3: warning: duplicate (seq 2): same as orders:0:2:0",
        "quotes.jsonl:1: error: conflict (seq 2): same seq as orders:0:2:0, other content",
    ]


def test_gaps_stand_at_the_line_after_them(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1), order(3), order(7)))
    assert told(path) == [
        "orders.jsonl:2: warning: X: seq 2 is missing or refused before seq 3",
        "orders.jsonl:3: warning: X: seq 4 to 6 are missing or refused before seq 7",
    ]


def test_lines_out_of_order_are_no_gap(tmp_path: Path) -> None:
    assert told(folder(tmp_path, orders=jsonl(order(3), order(1), order(2)))) == []


def test_many_gaps_are_told_once(tmp_path: Path) -> None:
    found = told(folder(tmp_path, orders=jsonl(*(order(seq) for seq in range(1, 2_003, 2)))))
    assert len(found) == recording.GAPS_TOLD + 1
    assert "orders.jsonl:1: warning: X: 1000 gaps, 1000 seqs missing; the first 20 are told" in found


def test_a_beginning_in_mid_life_is_told_unless_restated(tmp_path: Path) -> None:
    assert told(folder(tmp_path, orders=jsonl(order(5)))) == [
        "orders.jsonl:1: warning: X begins at seq 5: what its book held before is not known"
    ]
    assert told(folder(tmp_path, orders=jsonl(order(5, exec_type="restated")))) == []


def test_unknown_accounts_and_instruments_are_told_once(tmp_path: Path) -> None:
    path = folder(
        tmp_path, orders=jsonl(order(1, account="Z"), order(2, account="Z"), order(1, instrument="Y"))
    )
    assert told(path) == [
        "orders.jsonl:1: warning: account 'Z' is unknown at 2 of its records, first here",
        "orders.jsonl:3: warning: instrument 'Y' is not listed in reference.toml",
    ]


def test_an_account_is_unknown_at_a_time_at_which_it_is_not_valid(tmp_path: Path) -> None:
    late = REFERENCE + "valid_from = 15\n"
    assert told(folder(tmp_path, late, orders=jsonl(order(1), order(2)))) == [
        "orders.jsonl:1: warning: account 'C-1' is unknown at 1 of its records, first here"
    ]


def test_records_without_an_account(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1, account=...), order(2, account=None)))
    assert told(path) == [
        "orders.jsonl:1: warning: X: no account 2 times, first here; affiliate_flag is not judged"
    ]


def test_what_comes_after_the_first_record_may_leave_the_account_out(tmp_path: Path) -> None:
    canceled = order(2, exec_type="canceled", order_id="O1", account=...)
    bust = {"instrument": "X", "seq": 3, "ts": 30, "exec_type": "trade_cancel", "orig_trade_id": "T"}
    assert told(folder(tmp_path, orders=jsonl(order(1), canceled), trades=jsonl(bust))) == []


def test_reference_and_rulebook_come_first(tmp_path: Path) -> None:
    path = folder(tmp_path, "[[entities]]\nid = 7\n", orders=b"{\n" + jsonl(order(1, account="Z")))
    (path / "rulebook.toml").write_text("[venue]\nzone = [\n")
    found = recording.check(path)
    assert [(it.severity, it.file) for it in found] == [
        ("error", "reference.toml"), ("error", "rulebook.toml"), ("error", "orders.jsonl"),
    ]  # fmt: skip


def test_a_missing_reference_is_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path, orders=jsonl(order(1)))
    (path / "reference.toml").unlink()
    [problem] = recording.check(path)
    assert (problem.severity, problem.file, "does not exist" in problem.reason) == (
        "error", "reference.toml", True,
    )  # fmt: skip


def test_empty_files(tmp_path: Path) -> None:
    assert told(folder(tmp_path, orders=jsonl(order(1)), trades=b"")) == [
        "trades.jsonl:1: warning: the file is empty: no trades"
    ]
    (tmp_path / "orders.jsonl").write_bytes(b"")
    assert told(tmp_path) == [
        "orders.jsonl:1: warning: the file is empty: no orders",
        "orders.jsonl:1: error: no record can be used",
        "trades.jsonl:1: warning: the file is empty: no trades",
    ]


def test_a_truncated_file_is_told_with_the_line_where_it_ends(tmp_path: Path) -> None:
    path = folder(tmp_path, orders_gz=gzip.compress(jsonl(order(1), order(2)))[:-8])
    assert told(path) == [
        "orders.jsonl.gz:2: error: the file is truncated, its gz data has no end; what comes after is lost"
    ]


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_a_line_that_unpacks_without_an_end_is_passed_over_and_not_kept_in_memory(
    tmp_path: Path, packed: str
) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[packed]
    most = b" " * (recording.LINE_BYTES - 2) + b"{}"
    content = b"\n".join([b'{"a": 1}', b"x" * (4 * recording.LINE_BYTES), most, most + b" ", b"{}"])
    path = tmp_path / f"orders.jsonl{packed}"
    path.write_bytes(pack(content))
    del content
    tracemalloc.start()
    faults: list[str] = []
    found = [(line.number, len(line.data)) for line in recording.lines(path, "orders", faults)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [(1, 8), (3, recording.LINE_BYTES), (5, 2)]
    wrong = "expected a line of at most 16,000,000 bytes, it is longer; it is left out"
    assert faults == [f"{path.name}:{number}: {wrong}" for number in (2, 4)]
    print(f"{path.stat().st_size:,} bytes on the disk, {peak:,} at most in memory")
    assert peak < 4 * recording.LINE_BYTES
