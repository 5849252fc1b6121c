"""Log lines in both forms; what libraries say comes in the same form."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from schemas.journal import RefusedEntry, Source
from streams import logs


@pytest.fixture
def err(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    before = logging.root.handlers[:]
    yield stream
    logging.root.handlers[:] = before
    logs._form = ""  # whoever logs next sets up anew


def test_text_is_for_people(err: io.StringIO) -> None:
    logs.setup("text", "tag", 1)
    logs.say("tag", "ready", topic="orders", offset=7)
    logging.getLogger("faust.worker").warning("a %s", "word")
    logging.getLogger("faust.worker").info("quiet")
    try:
        raise ValueError("odd")
    except ValueError:
        logs.say("tag", "stopped", level=logging.ERROR, error=True)
    lines = err.getvalue().splitlines()
    assert [line[9:] for line in lines[:2]] == ["tag: ready", "tag: faust.worker: a word"]
    assert lines[2].startswith("Traceback")
    assert lines[-2] == "ValueError: odd"
    assert lines[-1].endswith(" tag: stopped"), "the last line says what matters"


def test_what_a_library_says_again_and_again_is_said_once_a_minute(err: io.StringIO) -> None:
    logs.setup("text", "tag")
    kafka = logging.getLogger("kafka")
    for at in range(3_000):
        kafka.warning("no connection to %s (after %d ms)", "a:9092", at)
        if at % 1_000 == 0:
            kafka.warning("no connection to %s", "b:9092")
            logs.say("tag", "ours")
    later = kafka.makeRecord(
        "kafka", logging.WARNING, "", 0, "no connection to %s (after %d ms)", ("a:9092", 7), None
    )
    later.created += logs.QUIET
    kafka.handle(later)
    lines = [line[9:] for line in err.getvalue().splitlines()]
    assert lines.count("tag: ours") == 3
    assert [line for line in lines if "ours" not in line] == [
        "tag: kafka: no connection to a:9092 (after 0 ms)",
        "tag: kafka: no connection to b:9092",
        "tag: kafka: no connection to a:9092 (after 7 ms)",
    ]


def test_json_is_for_programs(err: io.StringIO) -> None:
    logs.setup("json", "detect", 2)
    entry = RefusedEntry(src=Source("orders", 3, 44, 1), reason="conflict", detail="", raw=b"", seq=9)
    logs.say("detect", "odd", level=logging.WARNING, **logs.identity(entry))
    logging.getLogger("kafka").warning("gone")
    try:
        raise ValueError("odd")
    except ValueError:
        logs.say("detect", "stopped", level=logging.ERROR, error=True)
    odd, gone, stopped = map(json.loads, err.getvalue().splitlines())
    assert odd.pop("time").endswith("Z")
    assert odd == {
        "level": "warning", "stage": "detect", "slot": 2, "logger": "fairbook.detect", "message": "odd",
        "topic": "orders", "partition": 3, "offset": 44, "index": 1, "seq": 9,
    }  # fmt: skip
    assert (gone["logger"], gone["message"], gone["stage"]) == ("kafka", "gone", "detect")
    assert "ValueError: odd" in stopped["traceback"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_refusal_is_one_line_and_status_1(
    form: str, err: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup(form, "land")
    with pytest.raises(SystemExit) as ended:
        logs.refuse("land", "not like this")
    assert ended.value.code == 1
    said = capsys.readouterr().err if form == "text" else json.loads(err.getvalue())["message"]
    assert said in ("fairbook worker land: not like this\n", "not like this")


def test_a_library_that_sets_up_logging_gets_ours(err: io.StringIO) -> None:
    logs.setup("json", "tag")
    logging.config.dictConfig(logs.config())
    logging.getLogger("faust").warning("once")
    assert [json.loads(line)["message"] for line in err.getvalue().splitlines()] == ["once"]
