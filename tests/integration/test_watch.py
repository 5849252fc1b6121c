"""What the workers say of themselves while they run, against what is on the topics and in the lake."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from pipeline import Pipeline, simulated, wait_for
from prometheus_client.parser import text_string_to_metric_families

from schemas import codec
from schemas.journal import RefusedEntry
from schemas.tables import TABLES
from streams.processes import STAGES
from streams.sources.simulator_faults import Faults
from streams.watch import said
from streams.watch.exposition import METERS

# Told only when a rule raises, which none does here: tests/unit/test_watch.py has it.
NOT_HERE = {"fairbook_rule_errors"}
INFRA = Path(__file__).resolve().parents[2] / "infra"
DASHBOARD = "\n".join(
    target["expr"] + " "
    for panel in json.loads((INFRA / "grafana" / "fairbook.json").read_text())["panels"]
    for target in panel["targets"]
)
ALERTS = (INFRA / "prometheus" / "alerts.yaml").read_text()
Values = dict[str, dict[tuple[tuple[str, str], ...], float]]


def where(pipeline: Pipeline, stage: str) -> said.Address:
    """Where a worker said that it answers."""
    found = said.address(pipeline.settings, stage, 0)
    assert found is not None
    assert found.pid == pipeline.workers.running[stage].pid
    return found


def scraped(pipeline: Pipeline, stage: str) -> Values:
    """A worker's /metrics: values by name and labels."""
    with urllib.request.urlopen(f"{where(pipeline, stage).url}/metrics") as answer:
        text = answer.read().decode()
    values: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return values


def total(values: Values, name: str, **labels: str) -> float:
    """The sum of a metric over all labels but these."""
    wanted = set(labels.items())
    return sum(value for found, value in values[name].items() if wanted <= set(found))


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_metrics_and_health_say_what_was_done(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=71, events=3_000, violations=1, faults=Faults.each(1))
    with Pipeline(broker, tmp_path, "watch.") as pipeline:
        pipeline.start()
        pipeline.publish(day)
        pipeline.settle()
        entries = [entry for _number, frame in pipeline.journal() for entry in frame]
        refused = Counter(entry.reason for entry in entries if isinstance(entry, RefusedEntry))
        alerts = [codec.decode_alert(message.value) for message in pipeline.messages("alerts")]
        rows = sum(pipeline.sql(f'select count(*) from "{table}"')[0][0] for table in TABLES)

        wait_for(
            lambda: total(scraped(pipeline, "land"), "fairbook_landed_rows_total") == rows, "all rows counted"
        )
        values = {stage: scraped(pipeline, stage) for stage in STAGES}
        for stage in STAGES:
            found = values[stage]
            counted = total(found, "fairbook_entries_total", topic="journal")
            assert counted == len(entries) > 0, stage
            for reason, count in refused.items():
                assert total(found, "fairbook_refused_records_total", reason=reason) == count, (stage, reason)
            assert total(found, "fairbook_lag_messages") == 0
        kinds = Counter((alert.instance, alert.status) for alert in alerts if alert.rule != "data_quality")
        for (instance, status), count in kinds.items():
            assert total(values["detect"], "fairbook_alerts_total", rule=instance, status=status) == count
        findings = Counter(str(a.measures["kind"]) for a in alerts if a.rule == "data_quality")
        for kind, count in findings.items():
            assert total(values["detect"], "fairbook_findings_total", kind=kind) == count
        assert total(values["detect"], "fairbook_alert_latency_seconds_count") == len(alerts)
        print(
            f"compared: {len(entries)} entries, {refused.total()} refused, {kinds.total()} alert revisions, "
            f"{findings.total()} findings, {rows} rows"
        )
        assert refused and kinds and findings and rows

        names = {name.removesuffix("_total") for found in values.values() for name in found}
        assert names >= METERS.keys() - NOT_HERE, METERS.keys() - names
        shown = set().union(*values.values()) | {f"{name}_total" for name in NOT_HERE}
        asked = set(re.findall(r"\b(?:fairbook|process)_[a-z_]+(?=[{\[ )])", DASHBOARD + ALERTS))
        print(f"dashboard and alerts ask for {len(asked)} names of the {len(shown)} that are shown")
        assert len(asked) > 20
        assert asked <= shown, asked - shown

        for stage in STAGES:
            address = where(pipeline, stage)
            wait_for(lambda at=address: said.ask(at).well, f"{stage} to be well")  # type: ignore[misc]
            assert status_of(f"{address.url}/healthz") == 200
            assert status_of(f"{address.url}/livez") == 200
            assert status_of(f"{address.url}/elsewhere") == 404
        ended = pipeline.stop()
        assert {status for status, _seconds in ended.values()} == {0}, ended
        assert not list(pipeline.settings.state.glob("*.http"))
