"""Options that several commands share, and how long work and refusals are shown."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from streams import settings as places
from streams.kafka_properties import exposed
from streams.settings import Settings

_CLUSTER = "Where the pipeline is"

Broker = Annotated[
    str | None,
    typer.Option(
        "--broker",
        envvar=places.BROKER,
        metavar="HOST:PORT",
        help="Kafka; several addresses with commas. Default: the one that `fairbook broker up` started.",
        rich_help_panel=_CLUSTER,
    ),
]
KafkaProperties = Annotated[
    Path | None,
    typer.Option(
        "--kafka-properties",
        envvar=places.KAFKA_PROPERTIES,
        metavar="FILE",
        help="How to log in there (SASL, TLS, client id): key=value lines, librdkafka's names.",
        rich_help_panel=_CLUSTER,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        envvar=places.PREFIX,
        metavar="TEXT",
        help="In front of every topic and group: `uat.` gives `uat.orders`.",
        rich_help_panel=_CLUSTER,
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar=places.STATE,
        metavar="DIR",
        help="Snapshots and the local broker. Default: .fairbook",
        rich_help_panel=_CLUSTER,
    ),
]
Lake = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        envvar=places.LAKE,
        metavar="DIR",
        help="The Parquet files and their catalog. Default: .fairbook/lake",
        rich_help_panel=_CLUSTER,
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Write a recording into DIR; nothing goes to Kafka."),
]

Http = Annotated[
    str | None,
    typer.Option(
        "--http",
        envvar=places.HTTP,
        metavar="HOST:PORT",
        help="Where it answers /metrics and /healthz. Default: loopback, a free port.",
    ),
]

LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        envvar=places.LOG_FORMAT,
        metavar="text|json",
        help="Log lines for people or for programs, which get the identity of the event concerned.",
    ),
]
Snapshots = Annotated[
    str | None,
    typer.Option(
        envvar=places.SNAPSHOTS,
        metavar="PATH|URL",
        help="Where snapshots are, the same for all workers of a kind: a folder, or s3://bucket/folder."
        " Default: `snapshots` in the state folder.",
    ),
]

_SHARED = {
    "broker": Broker,
    "kafka_properties": KafkaProperties,
    "prefix": Prefix,
    "state": State,
    "lake": Lake,
}
_OWN = {
    "http",
    "log_format",
}  # settings of some commands: those declare the option, and find it in `settings`


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command, whose first parameter is `settings`, the options that say where the pipeline is."""
    own = inspect.signature(command)
    hints = inspect.get_annotations(command, eval_str=True)

    @functools.wraps(command)
    def wrapper(*arguments: Any, **values: Any) -> Any:
        where = {name: values.pop(name) for name in (*_SHARED, *_OWN & values.keys())}
        settings = places.load(**where)
        if settings.properties_file is not None:
            for sentence in exposed(settings.properties_file, settings.properties):
                print(f"note: {sentence}", file=sys.stderr)
        return command(settings, *arguments, **values)

    parameters = [
        item.replace(annotation=hints[name]) for name, item in own.parameters.items() if name != "settings"
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _SHARED.items()
    ]
    wrapper.__signature__ = inspect.Signature([*parameters, *shared])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {**hints, **_SHARED}
    wrapper.__annotations__.pop("settings", None)
    del wrapper.__wrapped__  # else the signature is read off the command
    return wrapper


def lake_of(lake: Path | None, state: Path | None = None) -> Path:
    """Return the lake's folder from options and environment, without asking for a broker."""
    return places.load(lake=lake, state=state).lake


class _Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress(what: str, total: int | None, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar with count, rate and remaining time; yields what is to be called with the count so far."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as bars:
        task = bars.add_task(what, total=total)
        yield lambda count: bars.update(task, completed=count)
        if total is None:
            bars.update(task, total=bars.tasks[0].completed)


@contextmanager
def spinner(what: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show that something is being waited for; yields what is to be called with a new text."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda text: bars.update(task, description=text)


def settings_without_broker(state: Path | None) -> Settings:
    """Return settings of commands that only need the state folder."""
    return places.load(state=state)
