"""Publish: what goes into the pipeline, and what a venue's engineer needs to get it right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from schemas.events import Topic
from streams.commands.options import To, connected
from streams.settings import Settings, resource
from streams.sources.simulator_config import Quoting

ingest = typer.Typer(help="Publish recorded or captured market data to Kafka.", no_args_is_help=True)
reference = typer.Typer(help="Who is who: reference data, checked and loaded.", no_args_is_help=True)
recording = typer.Typer(
    help="A day as files: reference.toml and three JSON Lines files.", no_args_is_help=True
)

DEFAULT_RULEBOOK = "infra/rulebook/default.toml"

Rulebook = Annotated[
    Path | None,
    typer.Option("--rulebook", metavar="FILE", help="Default: the one that ships (`fairbook rules`)."),
]
Records = Iterable[tuple[Topic, Mapping[str, object] | bytes]]


class Copy(StrEnum):
    """The two copies of the Hyperliquid capture."""

    by_block = "by_block"
    streaming = "streaming"


def rulebook_text(path: Path | None) -> str:
    """Return the text of a rulebook, checked. Raises RulebookError with file and line if it is none."""
    from detectors.registry import PARAMETERS
    from detectors.rulebook import Rulebook as Book
    from detectors.rulebook import RulebookError

    file = path or resource(DEFAULT_RULEBOOK)
    text = file.read_text(encoding="utf-8")
    try:
        Book.parse(text, PARAMETERS)
    except RulebookError as error:
        raise RulebookError(f"{file}: {error}") from error
    return text


@ingest.command("recording")
@connected
def ingest_recording(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="Folder with reference.toml and orders, trades, quotes.")],
    rulebook: Rulebook = None,
) -> None:
    """Publish a recording: its reference data, its records, and that it ends."""
    from streams.commands import feeding

    feeding.recording(settings, path, rulebook_text(rulebook))


@ingest.command("hyperliquid")
@connected
def ingest_hyperliquid(
    settings: Settings,
    path: Annotated[
        Path, typer.Argument(help="Folder with the snapshot and the by_block or streaming copy.")
    ],
    copy: Annotated[Copy, typer.Option(help="In the chain's order, or as it arrived.")] = Copy.by_block,
    to: To = None,
    rulebook: Rulebook = None,
) -> None:
    """Publish order-level BTC data of Hyperliquid, with the reference data of the venue's own vaults."""
    from streams.commands import feeding
    from streams.sources import hyperliquid as source

    capture = source.read(path, copy.value)
    feeding.captured(settings, capture, f"hyperliquid {copy.value}", to, rulebook_text(rulebook))


@ingest.command("hyperliquid-fills")
@connected
def ingest_hyperliquid_fills(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="File of node fills by block (.jsonl, .gz), or its folder.")],
    to: To = None,
    rulebook: Rulebook = None,
) -> None:
    """Publish every fill of Hyperliquid's coins with both wallets: trades only, no orders, no quotes."""
    from streams.commands import feeding
    from streams.sources import hyperliquid_fills as source

    feeding.captured(settings, source.read(path), "hyperliquid fills", to, rulebook_text(rulebook))


@ingest.command("binance")
@connected
def ingest_binance(
    settings: Settings,
    path: Annotated[
        Path, typer.Argument(help="Raw capture of a combined stream (plain, .gz), or its folder.")
    ],
    to: To = None,
    rulebook: Rulebook = None,
) -> None:
    """Publish best bid and offer and trades of Binance USD-M futures: no accounts, no orders."""
    from streams.commands import feeding
    from streams.sources import binance as source

    feeding.captured(settings, source.read(path), "binance", to, rulebook_text(rulebook))


@connected
def simulate(
    settings: Settings,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day, byte for byte.")] = 1,
    seconds: Annotated[int, typer.Option(help="Length in event time.")] = 60,
    rate: Annotated[
        int, typer.Option(help="Records a second of event time, all instruments together.")
    ] = 1_000,
    events: Annotated[
        int | None, typer.Option(help="End after so many records instead of --seconds.")
    ] = None,
    violations: Annotated[int, typer.Option(help="Planted acts of each kind; 0: a clean day.")] = 2,
    near: Annotated[
        int, typer.Option(help="Acts of each kind that come near a violation and must not be found.")
    ] = 0,
    instruments: Annotated[int, typer.Option(help="How many instruments, from 1.")] = 4,
    clients: Annotated[int, typer.Option(help="How many ordinary clients, from 4.")] = 24,
    faults: Annotated[
        int, typer.Option(help="Spoilt records of each kind (gap, duplicate, garbage ...).")
    ] = 0,
    quoting: Annotated[
        Quoting,
        typer.Option(
            help="Add markets of makers under agreements: kept ones, some only just, or all, broken ones too."
        ),
    ] = "off",
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What was planted, as JSON Lines. No worker reads it."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Begin now and publish at the pace of event time.")
    ] = False,
    to: To = None,
    rulebook: Rulebook = None,
) -> None:
    """Simulate a venue with an affiliated maker, with planted violations of I1, P1, F2; --quoting: L1, L2."""
    from streams.commands import feeding

    feeding.simulation(
        settings,
        seed=seed,
        seconds=seconds,
        rate=rate,
        events=events,
        violations=violations,
        near=near,
        instruments=instruments,
        clients=clients,
        faults=faults,
        quoting=quoting,
        labels=labels,
        live=live,
        to=to,
        rulebook=rulebook_text(rulebook),
    )


@reference.command("check")
def reference_check(
    path: Annotated[Path, typer.Argument(help="reference.toml, or its folder with CSV files beside it.")],
) -> None:
    """Say what is wrong with reference data, by file and line. Exit status 1 if there are errors."""
    from streams import reference_data

    problems = reference_data.check(path)
    _tell(problems, lambda: f"{len(reference_data.load(path))} facts can be used")


@reference.command("load")
@connected
def reference_load(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="reference.toml, or its folder with CSV files beside it.")],
    rulebook: Annotated[
        Path | None, typer.Option("--rulebook", metavar="FILE", help="Load this rulebook, too.")
    ] = None,
) -> None:
    """Publish facts (and a rulebook) to the topic `reference`. Loading the same again changes nothing."""
    from streams import reference_data
    from streams.feed import Feed

    problems = reference_data.check(path)
    if any(problem.severity == "error" for problem in problems):
        _tell(problems, lambda: "")
    text = rulebook_text(rulebook) if rulebook is not None else None
    count = Feed(settings).reference(reference_data.load(path), text)
    print(f"{count} facts{' and a rulebook' if text else ''} published to {settings.topic('reference')}")


@recording.command("check")
def recording_check(
    path: Annotated[Path, typer.Argument(help="The recording's folder.")],
) -> None:
    """Say what is wrong with a recording, by file and line. Exit status 1 if there are errors."""
    from streams.sources import recording as recordings

    _tell(recordings.check(path), lambda: "nothing is refused")


def _tell(problems: list, good: object) -> None:  # type: ignore[type-arg]
    for problem in problems:
        print(problem)
    errors = sum(problem.severity == "error" for problem in problems)
    found = f"{errors} errors, {len(problems) - errors} warnings"
    print(found if errors else f"{found}; {good()}")  # type: ignore[operator]
    raise typer.Exit(1 if errors else 0)


class SchemaOf(StrEnum):
    """What has a schema: the topics a venue writes, reference facts, and the alerts that consumers read."""

    orders = "orders"
    trades = "trades"
    quotes = "quotes"
    reference = "reference"
    alerts = "alerts"


def schema(topic: SchemaOf) -> None:
    """Print the JSON Schema of a topic's records; for a venue's topics a worked record of each kind, too."""
    from streams.commands import record_schema

    print(record_schema.text(topic.value))


def replay(
    path: Annotated[Path, typer.Argument(help="The folder of a recording, or of a lake.")],
    lake: Annotated[
        Path | None,
        typer.Option("--lake", metavar="OUT", help="Write a recording's tables and catalog there."),
    ] = None,
    rulebook: Annotated[
        Path | None,
        typer.Option(
            "--rulebook",
            metavar="OTHER",
            help="Run history under another rulebook, side by side: alerts gained, lost, changed.",
        ),
    ] = None,
) -> None:
    """Run the same rules once more, in one process and without a broker.

    Over a recording: in both passes of reference data. Over a lake: every answer that landed is compared with
    what its journal gives; exit status 1 if one differs.
    """
    from streams import history
    from streams.commands import replaying

    other = None if rulebook is None else rulebook_text(rulebook)
    if not history.is_lake(path):
        raise typer.Exit(replaying.run(path, lake, rulebook_text(None), other=other))
    if lake is not None:
        raise typer.BadParameter("expected a recording to land; a lake has landed", param_hint="--lake")
    raise typer.Exit(replaying.check(path) if other is None else replaying.compare(path, other))
