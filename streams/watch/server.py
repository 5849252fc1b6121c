"""Serves `/metrics`, `/healthz` and `/livez` of one worker, from a thread of its own.

`/healthz`: 200 if all is well, else 503, with JSON that says why; `/livez`: 503 only if the worker does not
move on, so that restarting it is what helps. Loopback and a free port unless told otherwise; where it listens
stands in the state folder, in `<group>-<slot>.http`, so that `fairbook up` and `fairbook status` find it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from importlib import metadata
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector
from prometheus_client.registry import Collector

from schemas import codec
from streams import logs
from streams.lake import files
from streams.settings import Settings, SettingsError
from streams.watch.exposition import Exposition, State
from streams.watch.health import STUCK_SECONDS, Health
from streams.watch.progress import Progress
from streams.watch.reading import Reading
from streams.watch.said import Address, Partition, Place, Said, Why, address_file

LOOK_SECONDS = 1.0


class Watch:
    """Looks at a worker once a second and serves what it saw, for the length of a `with`.

    `read` gives what the worker is at; the worker calls `beat` whenever its main loop moves on.
    """

    def __init__(
        self, settings: Settings, stage: str, slot: int, read: Callable[[], Reading], *more: Collector
    ) -> None:
        self.settings = settings
        self.stage = stage
        self.slot = slot
        self.path = address_file(settings, stage, slot)
        self._read = read
        self._beaten = time.monotonic()
        self._health = Health((settings.lake if stage == "land" else settings.state,))
        self._progress = Progress()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)
        self.state = State(Reading(False, [], [], [], []), {}, [], 0.0)
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        for collector in (
            Exposition(stage, slot, metadata.version("fairbook"), lambda: self.state),
            *more,
        ):
            self.registry.register(collector)

    # ---- the worker's side --------------------------------------------------------------------------

    def beat(self) -> None:
        """The worker's main loop has moved on."""
        self._beaten = time.monotonic()

    async def beating(self) -> None:
        """Beat for as long as an event loop runs."""
        while True:
            self.beat()
            await asyncio.sleep(LOOK_SECONDS)

    # ---- looking and serving ------------------------------------------------------------------------

    def __enter__(self) -> Watch:
        self._server = _listen(self.settings.http, self)
        self._thread.start()
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()
        host, port = self._server.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        address = Address(f"http://{name}:{port}", os.getpid())
        files.write_bytes(self.path, codec.encode(address))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)

    def look(self) -> None:
        """Look at the worker now."""
        for last in (False, False, True):  # the worker goes on meanwhile: what is read can change size
            try:
                reading = self._read()
                break
            except RuntimeError:
                if last:
                    return  # what was seen before stands
        now, now_ns, still = time.monotonic(), time.time_ns(), self.still
        paces = self._progress.note(reading.parts, now, now_ns)
        troubles = self._health.troubles(reading, paces, now=now, now_ns=now_ns, still=still)
        self.state = State(reading, paces, troubles, still)

    @property
    def still(self) -> float:
        """Seconds since the worker's main loop moved on."""
        return time.monotonic() - self._beaten

    def _look_on(self) -> None:
        """Look once a second; what goes wrong with that is told once, and is no trouble of the worker's."""
        told = False
        while True:
            try:
                self.look()
            except Exception:
                if not told and not self._stop.is_set():
                    text = "looking at this worker failed; /healthz and /metrics may be out of date"
                    logs.say(self.stage, text, level=logging.ERROR, error=True)
                told = True
            if self._stop.wait(LOOK_SECONDS):
                return

    def said(self) -> Said:
        """Return what /healthz answers."""
        reading, paces, troubles, _still = self.state
        return Said(
            stage=self.stage,
            slot=self.slot,
            pid=os.getpid(),
            well=not troubles,
            alive=self.still <= STUCK_SECONDS,
            troubles=[Why(trouble.reason.value, trouble.detail) for trouble in troubles],
            sources=[
                Place(topic=s.topic, partition=s.partition, next=s.next, end=s.end, delay_seconds=s.delay)
                for s in reading.sources
            ],
            partitions=[
                Partition(
                    topic=part.topic,
                    partition=part.partition,
                    entries=part.tally.entries,
                    entries_per_second=paces[part.topic, part.partition].rate,
                    watermark_ns=part.tally.watermark,
                    snapshot_ns=part.tally.saved.at if part.tally.saved is not None else None,
                    unsaved_seconds=paces[part.topic, part.partition].unsaved,
                )
                for part in reading.parts
            ],
        )


class _Handler(MetricsHandler):
    watch: Watch

    def do_GET(self) -> None:  # noqa: N802  # http.server's name
        path = self.path.partition("?")[0]
        if path == "/metrics":
            super().do_GET()
        elif path in ("/healthz", "/livez"):
            said = self.watch.said()
            fine = said.well if path == "/healthz" else said.alive
            self._answer(200 if fine else 503, codec.encode(said) + b"\n")
        else:
            self._answer(404, b'{"error": "expected /metrics, /healthz or /livez"}\n')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[_Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server what we are called, as the base class would."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone away: nothing of ours."""


def _listen(place: str, watch: Watch) -> ThreadingHTTPServer:
    host, _, port = place.rpartition(":")
    handler = type("Handler", (_Handler,), {"watch": watch, "registry": watch.registry})
    try:
        return _Server(host.strip("[]"), int(port), handler)
    except OSError as error:
        raise SettingsError(f"http {place}: cannot listen there ({error.strerror or error})") from None
