"""Operate: the local broker, the topics, the workers, how it is going."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from streams import settings as places
from streams.commands.options import Http, LogFormat, Snapshots, State, connected, settings_without_broker
from streams.settings import Settings
from streams.supervision import TRY_AGAIN
from streams.text_table import console

broker = typer.Typer(help="Apache Kafka on this machine: one node, loopback only.", no_args_is_help=True)
topics = typer.Typer(help="The topics: made where we may, checked where we may not.", no_args_is_help=True)


class Stage(StrEnum):
    """The three kinds of worker."""

    tag = "tag"
    detect = "detect"
    land = "land"


Count = Annotated[int, typer.Option(min=0, max=1_000, help="How many workers of this kind.")]
Port = Annotated[int | None, typer.Option(help="Of 127.0.0.1. Default: the last one, or a free one.")]


@broker.command("up")
def broker_up(port: Port = None, state: State = None) -> None:
    """Start Kafka and wait until it answers; one that runs already is left alone."""
    from streams import broker as local_broker

    info = local_broker.up(port, settings_without_broker(state).state)
    print(f"Kafka runs on {info.address} (process {info.pid}); data in {info.data}, log in {info.log}")


@broker.command("down")
def broker_down(state: State = None) -> None:
    """End the Kafka of this state folder, and no other process. Its data stays."""
    from streams import broker as local_broker

    ended = local_broker.down(settings_without_broker(state).state)
    print("Kafka has ended; its data stays" if ended else "Kafka was not running")


@broker.command("status")
def broker_status(state: State = None) -> None:
    """Say whether the Kafka of this state folder runs. Exit status 1 if it does not."""
    from streams import broker as local_broker

    info = local_broker.status(settings_without_broker(state).state)
    if info is None:
        print("Kafka is not running; `fairbook broker up` starts it")
        raise typer.Exit(1)
    answers = "answers" if info.answers else "does not answer"
    memory = f"{info.memory_bytes / 2**20:,.0f} MiB"
    print(f"Kafka {answers} on {info.address} (process {info.pid}, {memory}); log in {info.log}")
    raise typer.Exit(0 if info.answers else 1)


@topics.command("create")
@connected
def topics_create(settings: Settings) -> None:
    """Make the topics that are missing; those that are there stay as they are."""
    from streams import topics as topic_data

    made = topic_data.create(settings)
    print(f"made: {', '.join(made)}" if made else "all topics are there; nothing was changed")


@topics.command("check")
@connected
def topics_check(settings: Settings) -> None:
    """Compare the topics on the cluster with what Fairbook needs. Exit status 1 if it must not run there."""
    from streams import topics as topic_data

    findings = topic_data.check(settings)
    for finding in findings:
        print(f"{finding.level}: {finding.topic} {finding.text}")
    errors = sum(finding.level == "error" for finding in findings)
    print(f"{len(topic_data.TOPICS)} topics checked: {errors} errors, {len(findings) - errors} notes")
    raise typer.Exit(1 if errors else 0)


@connected
def worker(
    settings: Settings,
    stage: Stage,
    slot: Annotated[
        int | None,
        typer.Option(
            envvar=places.SLOT,
            help="Which of its kind, from 0; a restart takes its place at once. Default: a free one.",
        ),
    ] = None,
    snapshots: Snapshots = None,
    http: Http = None,
    log_format: LogFormat = None,
) -> None:
    """Run one worker until it is told to stop (SIGTERM, Ctrl-C); any number of a kind share the partitions.

    tag: orders, trades, quotes -> one order an instrument, with roles -> journal.
    detect: journal -> book and rules -> alerts, metrics.
    land: journal, alerts, metrics -> Parquet and the catalog.

    Exit status: 0 when told to stop, 1 if the configuration is wrong, 75 if it cannot work for now (no
    broker, a full disk), 4 after an error of its own.
    """
    from confluent_kafka import KafkaException

    from streams import logs
    from streams.topics import BrokerAway

    settings = places.placed(settings, slot, snapshots)
    logs.setup(settings.log_format, stage, settings.slot)
    try:
        _run(settings, stage)
    except (BrokerAway, KafkaException, OSError) as error:
        print(f"fairbook: {error}", file=sys.stderr)
        raise typer.Exit(TRY_AGAIN) from None


def _run(settings: Settings, stage: Stage) -> None:
    if stage is Stage.tag:
        from streams.tag_worker import run_tag

        run_tag(settings)
    elif stage is Stage.detect:
        from streams.detect_worker import run_detect

        run_detect(settings)
    else:
        from streams import land_worker

        land_worker.run(settings)


@connected
def up(
    settings: Settings,
    tag: Count = 1,
    detect: Count = 1,
    land: Count = 1,
    snapshots: Snapshots = None,
    http: Http = None,
    log_format: LogFormat = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without an answer until a worker is killed.")
    ] = 15.0,
) -> None:
    """Run the workers in the foreground: start again what dies, kill what hangs, stop all in order when told.

    With --http HOST:PORT the workers answer at PORT, PORT + 1, ...: tag's first, then detect's, then land's.
    Ends with status 1 if a worker says that its configuration is wrong. Their logs: STATE/log.
    """
    from streams import logs, supervisor

    settings = places.placed(settings, None, snapshots)
    logs.setup(settings.log_format, supervisor.NAME)
    raise typer.Exit(supervisor.run(settings, {"tag": tag, "detect": detect, "land": land}, patience))


@connected
def down(settings: Settings) -> None:
    """End the `fairbook up` of this state folder, and workers of it that run without one."""
    from streams import supervisor

    raise typer.Exit(supervisor.down(settings))


@connected
def status(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """How each worker is and how far behind; what the lake holds: events, refused records, findings, alerts.

    Works when workers, broker or lake are away, and says so; exit status 1 if the broker does not answer.
    """
    from streams import overview, overview_tables, text_table

    found = overview.look(settings)
    if json:
        from schemas import codec

        print(codec.encode(found).decode())
    else:
        screen = console()
        for table in overview_tables.tables(found):
            text_table.show(screen, table)
    if found.broker is not None:
        print(f"fairbook: {found.broker}", file=sys.stderr)
        raise typer.Exit(1)


@connected
def demo(
    settings: Settings,
    seed: Annotated[int, typer.Option(help="Of the simulated day.")] = 7,
    events: Annotated[int, typer.Option(help="Records of the simulated day.")] = 40_000,
    hyperliquid: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Run real order-level data instead: see `fairbook ingest hyperliquid`."
        ),
    ] = None,
) -> None:
    """The main job, from nothing to a summary: Kafka, three workers, one day of a venue, and what was found.

    Starts a Kafka of its own unless --broker names one, and ends everything that it started.
    """
    from streams.commands import demo as main_job

    raise typer.Exit(main_job.run(settings, console(), seed=seed, events=events, hyperliquid=hyperliquid))
