"""From an event to its alert on the topic, by the event's own time: of a recording of the past, very long."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from prometheus_client import Histogram

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)


class Latency:
    """A histogram of alert revisions, each noted when the broker has acknowledged it."""

    def __init__(self) -> None:
        self.histogram = Histogram(
            "fairbook_alert_latency_seconds",
            "From an event's own time until its alert was acknowledged by the broker",
            ("stage",),
            registry=None,
            buckets=BUCKETS,
        )
        self._observe = self.histogram.labels("detect").observe

    def note(self, ts: int | None, acknowledged: Any) -> None:
        """Note an output's event time (ns; None: it is no alert) once the future `acknowledged` is done."""
        if ts is not None:
            acknowledged.add_done_callback(partial(self._acknowledged, ts))

    def _acknowledged(self, ts: int, future: Any) -> None:
        if not future.cancelled() and future.exception() is None:
            self._observe(max(0.0, (time.time_ns() - ts) / 1e9))
