"""Nothing in an answer depends on the order of a set or on `hash`: other hash seeds, the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from agreement import RULEBOOK
from markets import market

from detectors.runner import Runner
from schemas import codec
from schemas.alerts import Alert
from streams import reference_data
from streams.replay import journal, second_pass

MARKETS = 12
HASH_SEEDS = ("0", "1", "20260211")


def answers() -> tuple[int, str]:
    """Return how many outputs both passes over some markets have; a digest of journals, outputs, state."""
    count, digest = 0, hashlib.blake2b()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(MARKETS):
            place = market(seed, instruments=3).write(Path(folder) / str(seed))
            facts = reference_data.load(place / "reference.toml")
            runner, alerts = Runner(strict=True), []
            entries = list(journal(place, facts, RULEBOOK))
            digest.update(codec.encode_frame(entries))
            for entry in entries:
                outputs = runner.apply(entry)
                alerts += [output for output in outputs if isinstance(output, Alert)]
                digest.update(b"".join(map(codec.canonical, outputs)))
                count += len(outputs)
            later = list(second_pass(entries, facts, alerts, strict=True))
            digest.update(b"".join(map(codec.canonical, later)))
            digest.update(runner.snapshot())
            count += len(later)
    return count, digest.hexdigest()


def of_a_process(hash_seed: str) -> list[str]:
    """Return `answers` of a new process with that hash seed."""
    run = subprocess.run(
        [sys.executable, __file__],
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_other_hash_seeds_give_the_same_bytes() -> None:
    found = {seed: of_a_process(seed) for seed in HASH_SEEDS}
    count, order = int(found["0"][0]), {words[2] for words in found.values()}
    print(f"compared {count} outputs of {MARKETS} markets under {len(found)} hash seeds")
    assert count > 500
    assert len(order) > 1, "the seeds do change the order of a set"
    assert len({tuple(words[:2]) for words in found.values()}) == 1


if __name__ == "__main__":
    print(*answers(), ",".join({f"account-{number}" for number in range(20)}))
