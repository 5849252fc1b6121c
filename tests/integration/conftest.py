"""A real Apache Kafka for the tests of this folder. Missing Java or Maven fails them: nothing is skipped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import broker as local_broker
from streams import kafka_jars


@pytest.fixture(scope="session")
def kafka_libs() -> Path:
    """The folder of Kafka's jars: the one that `make` names, else the project's own; filled if need be."""
    named = os.environ.get(kafka_jars.LIBS)
    return kafka_jars.resolve(Path(named) if named else Path(".fairbook/kafka/libs").absolute())


@pytest.fixture(scope="session")
def broker(kafka_libs: Path) -> Iterator[str]:
    """HOST:PORT of a broker of this test session's own: free port, own folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fairbook-test-") as folder:
        state = Path(folder)
        try:
            yield local_broker.up(None, state, kafka_libs).address
        finally:
            local_broker.down(state)
