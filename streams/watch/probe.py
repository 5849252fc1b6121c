"""Whether a broker is there, asked now and then: for a worker whose own client does not tell."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams import logs
from streams.settings import Settings

ASK_SECONDS = 5.0
ANSWER_SECONDS = 3.0  # of a broker that is there


class Probe:
    """Asks for a topic's metadata; blocks for as long as an answer may take. Any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._admin: AdminClient | None = None
        self._heard = time.time_ns()
        self._asked = 0.0

    def heard(self) -> int:
        """Return when the broker last answered, ns since 1970."""
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._asked = time.monotonic()
            try:
                self._client().list_topics(self.settings.topic("journal"), timeout=ANSWER_SECONDS)
                self._heard = time.time_ns()
            except KafkaException:
                self._admin = None  # a new one does not wait until the old one tries again
        return self._heard

    def _client(self) -> AdminClient:
        client = self._admin
        if client is None:
            client = self._admin = AdminClient(self.settings.confluent(), logger=logs.KAFKA)
        return client
