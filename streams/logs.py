"""Log lines of `up` and the workers: text for people, or JSON with the identity of the event concerned.

Through the standard library's logging, so that what Faust and the Kafka clients say comes in the same form.
No line names an account: what is said of a record is its place, its instrument and its seq.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any, NoReturn

from schemas import codec
from schemas.journal import EventEntry, RefusedEntry

OURS = "fairbook"
KAFKA = logging.getLogger("kafka")  # for a worker's clients, which otherwise write in a form of their own
KAFKA.addHandler(logging.NullHandler())  # a command configures none
SILENT = logging.Logger("kafka.silent", level=logging.CRITICAL + 1)  # for a command's, which says it itself
QUIET = 60.0  # seconds
REMEMBERED = 1_000  # lines
_NUMBERS = re.compile(r"\d+")
_form = ""
_config: dict[str, Any] = {}


class Text(logging.Formatter):
    """`HH:MM:SS stage: message`, a traceback above it, so that the last line says what matters."""

    def __init__(self, who: dict[str, Any]) -> None:
        super().__init__()
        self.who = who

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        own = record.name.startswith(f"{OURS}.")
        stage = record.name.removeprefix(f"{OURS}.") if own else f"{self.who['stage']}: {record.name}"
        line = f"{clock} {stage}: {record.getMessage()}"
        return f"{self.formatException(record.exc_info)}\n{line}" if record.exc_info else line


class Json(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, who: dict[str, Any]) -> None:
        super().__init__()
        self.who = who

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            **self.who,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "event", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return codec.encode(line).decode()


class Calm(logging.Filter):
    """Lets what a library says again and again through once in QUIET seconds, whatever the numbers in it.

    While a broker is away Kafka's clients say so many times a second. Our own lines all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be written."""
        if record.name.startswith(f"{OURS}."):
            return True
        key = record.name, _NUMBERS.sub("#", record.getMessage())
        if record.created - self._said.get(key, -QUIET) < QUIET:
            return False
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[key] = record.created
        return True


def setup(form: str, stage: str, slot: int | None = None) -> None:
    """Log in this form ("text", "json") from here on, as this stage: what libraries warn of, too."""
    _configure(form, stage, slot, {"root": {"handlers": ["err"], "level": "WARNING"}})


def _configure(form: str, stage: str, slot: int | None, more: dict[str, Any]) -> None:
    global _form
    _form = form
    who: dict[str, Any] = {"stage": stage} if slot is None else {"stage": stage, "slot": slot}
    _config.clear()
    _config.update(
        version=1,
        disable_existing_loggers=False,
        formatters={"lines": {"()": Json if form == "json" else Text, "who": who}},
        # The real one: Faust may put another in its place.
        handlers={
            "err": {
                "class": "logging.StreamHandler",
                "stream": sys.__stderr__,
                "formatter": "lines",
                "filters": ["calm"],
            }
        },
        filters={"calm": {"()": Calm}},
        loggers={OURS: {"level": "INFO", "handlers": ["err"], "propagate": False}},
        **more,
    )
    logging.config.dictConfig(_config)


def config() -> dict[str, Any]:
    """Return what `setup` has set up, for a library that sets up logging itself."""
    return dict(_config)


def say(stage: str, message: str, *, level: int = logging.INFO, error: bool = False, **event: Any) -> None:
    """Write one line; `error`: with the exception in hand; `event`: the identity of what it concerns."""
    if not _form:
        _configure(
            "text", stage, None, {}
        )  # not as a program of ours: other loggers are none of our business
    logging.getLogger(f"{OURS}.{stage}").log(level, message, exc_info=error, extra={"event": event})


def refuse(stage: str, message: str) -> NoReturn:
    """End with status 1, for a reason that a person can put right."""
    if _form == "json":
        say(stage, message, level=logging.ERROR)
    else:
        print(f"fairbook worker {stage}: {message}", file=sys.stderr)
    sys.exit(1)


def identity(entry: EventEntry | RefusedEntry) -> dict[str, Any]:
    """Return what tells a record: its place on its topic, its instrument and seq as far as known."""
    src = entry.src
    found = {
        "topic": src.topic,
        "partition": src.partition,
        "offset": src.offset,
        "index": src.index,
        "instrument": entry.instrument,
        "seq": entry.seq,
    }
    return {name: value for name, value in found.items() if value is not None}
