"""The Faust app of a stage, built in a function: nothing happens at import. DESIGN.md section 5."""

from __future__ import annotations

import logging
from typing import cast

import faust
from yarl import URL

from streams import logs
from streams.settings import Settings
from streams.transport import BatchConsumer, BatchTransport

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


def make_app(settings: Settings, stage: str, instance: str) -> faust.App:
    """Return the app of a stage ("tag", "detect"): a consumer group, and `instance` a static member of it."""
    options = settings.faust()
    app = faust.App(
        settings.group(stage),
        topic_allow_declare=False,  # `fairbook topics create` makes them
        topic_disable_leader=True,
        web_enabled=False,
        broker_commit_interval=0.5,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=20.0,
        table_standby_replicas=1,  # 0 makes Faust drop its own, co-partitioning assignor
        stream_wait_empty=False,  # with batches held back it would never stop
        stream_buffer_maxsize=64,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance,  # a restart takes its place at once
        consumer_max_fetch_size=MAX_MESSAGE_BYTES,
        producer_linger=0.002,
        producer_acks=-1,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        producer_compression_type="zstd",
        datadir=str(settings.state / "faust"),
        key_serializer="raw",
        value_serializer="raw",
        **options,
    )
    app.transport = BatchTransport([URL(url) for url in options["broker"].split(";")], app)
    return app


def consumer(app: faust.App) -> BatchConsumer:
    """Return the app's consumer."""
    return cast(BatchConsumer, app.consumer)


def run(app: faust.App) -> None:
    """Run the app until SIGTERM or SIGINT, then leave with its status; no web server, no banner."""
    app.finalize()
    app.worker_init()
    app.worker_init_post_autodiscover()
    process = faust.Worker(
        app, loglevel=logging.WARNING, quiet=True, redirect_stdouts=False, logging_config=logs.config()
    )
    process.spinner = None
    process.execute_from_commandline()
