"""`fairbook`: the command line."""

from __future__ import annotations

import sys
import traceback

import typer

from streams import build
from streams.commands import access, ask, lake, operate, publish, report

app = typer.Typer(
    name="fairbook",
    help="Watches a trading venue's own market maker: who it is, whether clients came first, what it added.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

operate.topics.command("acls")(access.topics_acls)

_RUN, _FEED, _ASK = "Run it", "Feed it", "Ask it"

for name, group, panel in (
    ("broker", operate.broker, _RUN),
    ("topics", operate.topics, _RUN),
    ("reference", publish.reference, _FEED),
    ("ingest", publish.ingest, _FEED),
    ("recording", publish.recording, _FEED),
    ("lake", lake.lake, _RUN),
    ("alerts", ask.alerts, _ASK),
    ("report", report.report, _ASK),
):
    app.add_typer(group, name=name, rich_help_panel=panel)
for command, panel in (
    (operate.demo, _RUN),
    (operate.up, _RUN),
    (operate.down, _RUN),
    (operate.worker, _RUN),
    (operate.status, _RUN),
    (publish.simulate, _FEED),
    (publish.schema, _FEED),
    (publish.replay, _ASK),
    (ask.sql, _ASK),
    (ask.summary, _ASK),
    (ask.rules, _ASK),
):
    app.command(command.__name__, rich_help_panel=panel)(command)


def _version(asked: bool) -> None:
    if asked:
        print(f"fairbook {build.version()} ({build.build()})")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_version,
        is_eager=True,
        help="Print it, and of which commit it is.",
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; what a person can put right is one line on stderr and exit status 1."""
    from confluent_kafka import KafkaException

    from detectors.rulebook import RulebookError
    from streams.feed import FeedError
    from streams.kafka_jars import BrokerError
    from streams.lake.stamp import LakeError
    from streams.reference_data import ReferenceDataError
    from streams.settings import SettingsError
    from streams.sources.recording import RecordingError

    refusals = (
        SettingsError, BrokerError, FeedError, RecordingError, ReferenceDataError, RulebookError, LakeError,
        OSError,
    )  # fmt: skip
    try:
        app()
    except KafkaException as error:
        from streams.topics import reason

        print(f"fairbook: {reason(error)}", file=sys.stderr)
        sys.exit(1)
    except refusals as error:
        print(f"fairbook: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(4)  # an error of ours: 1 says that a person can put it right
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
