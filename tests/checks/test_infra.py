"""Files for those who run it: dashboards and alerts name metrics that exist, the runbook has all of
them, and the checkers of units, manifests and rules find nothing.

A checker that is missing is said and its test skipped; with FAIRBOOK_INFRA=1 (`make infra`) that fails.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from streams.watch.exposition import METERS
from streams.watch.reading import Reason

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
ALERTS = INFRA / "prometheus" / "alerts.yaml"
UNITS = sorted((INFRA / "systemd").glob("*.service"))
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))

# What each worker shows beside METERS, and what Prometheus adds to every series.
OTHERS = {"fairbook_alert_latency_seconds_bucket", "process_start_time_seconds",
          "process_resident_memory_bytes", "process_cpu_seconds_total", "up"}  # fmt: skip
EVERYWHERE = {"stage", "job", "instance", "le"}


def needed(tool: str, *, module: bool = False) -> None:
    """Skip, or fail where all tools are asked for, if a checker is missing."""
    if importlib.util.find_spec(tool) if module else shutil.which(tool):
        return
    if os.environ.get("FAIRBOOK_INFRA"):
        pytest.fail(f"{tool} is missing")
    pytest.skip(f"{tool} is missing: `make infra`")


def ran(*command: object, cwd: Path = INFRA) -> str:
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd=cwd
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    return output


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression, with where it stands; Grafana's variables as it would put them in."""
    found = [(f"alert {rule['alert']}", rule["expr"]) for rule in rules()]
    dashboard = json.loads((INFRA / "grafana" / "fairbook.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found.append((f"panel {panel['title']}", target["expr"].replace("$stage", "tag|detect")))
    return found


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or ():
        yield from selectors(child)


def named(expression: str) -> dict[str, set[str]]:
    """The metrics that an expression names, each with the labels asked of it."""
    found: dict[str, set[str]] = {}
    for selector in selectors(promql_parser.parse(expression)):
        labels = {matcher.name for matcher in selector.matchers.matchers}
        found.setdefault(selector.name, set()).update(labels)
    return found


def labels_of(name: str) -> set[str] | None:
    """The labels of a metric of ours; None if there is none of this name."""
    if name in OTHERS:
        return EVERYWHERE
    meter = METERS.get(name.removesuffix("_total"))
    if meter is None or meter.counter != name.endswith("_total"):
        return None
    return EVERYWHERE | set(meter.labels)


def wrong(expression: str) -> list[str]:
    """What an expression names that is not there."""
    found = []
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(", ")}
    known: set[str] = set()
    for name, labels in named(expression).items():
        has = labels_of(name)
        if has is None:
            found.append(f"no metric {name}")
            continue
        known |= has
        found += [f"{name} has no label {label}" for label in sorted(labels - has)]
    return found + [f"nothing has the label {label}" for label in sorted(grouped - known)]


def test_dashboard_and_alerts_name_metrics_and_labels_that_exist() -> None:
    found = expressions()
    bad = {where: wrong(expression) for where, expression in found if wrong(expression)}
    names = {name for _where, expression in found for name in named(expression)}
    print(f"{len(found)} expressions name {len(names)} metrics")
    assert len(found) > 30
    assert not bad


@pytest.mark.parametrize(
    "expression",
    ["fairbook_entries", "fairbook_welll", 'fairbook_well{slot="1"}', "sum by (table) (fairbook_well)",
     "rate(fairbook_trouble_total[1m]) > 1", "histogram_quantile(0.9, fairbook_nothing_bucket)"],
)  # fmt: skip
def test_a_name_that_is_not_there_is_found(expression: str) -> None:
    assert wrong(expression)


def test_every_reason_has_an_alert_and_all_are_in_the_runbook() -> None:
    text = (INFRA / "RUNBOOK.md").read_text()
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in text.splitlines() if "|" in line}
    asked = {
        re.sub(r'.*reason="(\w+)".*', r"\1", rule["expr"]): rule["alert"]
        for rule in rules()
        if "fairbook_trouble" in rule["expr"]
    }
    assert asked.keys() == {reason.value for reason in Reason}
    for reason, alert in asked.items():
        assert (f"`{reason}`", alert) in rows
    first = {cells[0] for cells in rows}
    others = [rule["alert"] for rule in rules() if rule["alert"] not in asked.values()]
    assert not [alert for alert in others if alert not in first]
    assert all(rule["annotations"]["runbook"].endswith(f", {rule['alert']}") for rule in rules())
    print(f"{len(asked)} reasons and {len(others)} other alerts are in the runbook")


def test_every_file_is_in_the_table_of_readme() -> None:
    text = (INFRA / "README.md").read_text()
    files = [path for folder in ("prometheus", "grafana", "systemd", "container", "kubernetes")
             for path in sorted((INFRA / folder).iterdir())]  # fmt: skip
    missing = [
        path.name for path in files
        if path.name not in text and not re.match(r"fairbook-\w+(@.service|.target)$", path.name)
    ]  # fmt: skip
    print(f"{len(files)} files")
    assert len(files) > 12
    assert not missing


def test_promtool_checks_rules_and_examples() -> None:
    needed("promtool")
    folder = INFRA / "prometheus"
    assert f"{len(rules())} rules found" in ran("promtool", "check", "rules", ALERTS)
    ran("promtool", "check", "config", folder / "scrape.yaml")
    ran("promtool", "check", "config", "--syntax-only", INFRA / "container" / "prometheus.yml")
    assert "SUCCESS" in ran("promtool", "test", "rules", folder / "alerts_test.yaml")


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    needed("systemd-analyze")
    program = Path(sys.executable).with_name("fairbook")
    assert program.exists(), "installed beside this Python"
    units = []
    for path in [*UNITS, *(INFRA / "systemd").glob("*.target")]:
        unit = tmp_path / path.name.replace("@.", "@0.")
        unit.write_text(path.read_text().replace("/opt/fairbook/bin/fairbook", str(program)))
        units.append(unit)
    assert ran("systemd-analyze", "verify", *units, cwd=tmp_path) == ""
    print(f"{len(units)} units")
    assert len(units) == 5
    spoilt = tmp_path / "fairbook.service"
    spoilt.write_text(spoilt.read_text().replace("KillMode=mixed", "KillMood=mixed"))
    said = subprocess.run(
        ["systemd-analyze", "verify", spoilt], capture_output=True, text=True, check=False
    ).stderr
    assert "KillMood" in said, "a planted mistake is found"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_restarts_all_but_what_is_configured_wrongly(path: Path) -> None:
    lines = path.read_text().splitlines()
    for line in ("Restart=always", "RestartPreventExitStatus=1", "StartLimitIntervalSec=0"):
        assert line in lines


def test_compose_follows_the_specification(tmp_path: Path) -> None:
    needed("check_jsonschema", module=True)
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    path = INFRA / "container" / "compose.yaml"
    ran(*check, path)
    spoilt = tmp_path / "compose.yaml"
    spoilt.write_text(path.read_text().replace("healthcheck:", "healthczech:"))
    result = subprocess.run([*check, spoilt], capture_output=True, text=True, check=False)
    assert result.returncode != 0, "a planted mistake is found"


def test_compose_gives_each_worker_a_slot_and_a_state_folder_of_its_own() -> None:
    services = yaml.safe_load((INFRA / "container" / "compose.yaml").read_text())["services"]
    workers = {name: item for name, item in services.items() if item.get("command", [""])[0] == "worker"}
    assert len(workers) == 5
    for name, item in workers.items():
        stage, slot = name.split("-")
        assert item["command"] == ["worker", stage, "--slot", slot]
        assert item["environment"]["FAIRBOOK_STATE"].endswith(f"/{name}")
        assert item["environment"]["FAIRBOOK_SNAPSHOTS"]
    targets = yaml.safe_load((INFRA / "container" / "prometheus.yml").read_text())
    assert targets["scrape_configs"][0]["static_configs"][0]["targets"] == [f"{n}:9400" for n in workers]


def manifests() -> list[dict[str, Any]]:
    return [item for path in MANIFESTS for item in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_follow_the_schemas_of_kubernetes(path: Path) -> None:
    needed("kubernetes_validate", module=True)
    import kubernetes_validate

    items = list(yaml.safe_load_all(path.read_text()))
    for item in items:
        kubernetes_validate.validate(item, "1.28", strict=True)
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**item, "planted": 1}, "1.28", strict=True)
    print(f"{len(items)} objects")
    assert items


def test_workers_on_kubernetes_have_stable_slots_probes_and_what_they_refer_to() -> None:
    items = manifests()
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    sets = [item for item in items if item["kind"] == "StatefulSet"]
    assert {item["metadata"]["name"] for item in sets} == {"fairbook-tag", "fairbook-detect", "fairbook-land"}
    for item in sets:
        [container] = item["spec"]["template"]["spec"]["containers"]
        environment = {each["name"]: each for each in container["env"]}
        slot = environment["FAIRBOOK_SLOT"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert slot == "metadata.labels['apps.kubernetes.io/pod-index']"
        probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert probes == {
            "startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/healthz"
        }  # fmt: skip
        for source in container["envFrom"]:
            for kind, name in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                assert name not in source or (kind, source[name]["name"]) in there
        volumes = item["spec"]["template"]["spec"]["volumes"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        claimed = {each["metadata"]["name"] for each in item["spec"]["volumeClaimTemplates"]}
        assert mounted == {each["name"] for each in volumes} | claimed
        assert container["securityContext"]["readOnlyRootFilesystem"]
    print(f"{len(items)} objects, {len(sets)} of them workers")


def test_the_environment_of_every_deployment_is_one_that_is_read() -> None:
    known = set(re.findall(r'"(FAIRBOOK_[A-Z_]+)"', (ROOT / "streams" / "settings.py").read_text()))
    named = {
        word
        for path in INFRA.rglob("*")
        if path.is_file() and path.suffix in (".yaml", ".service", ".env", "")
        for word in re.findall(r"\bFAIRBOOK_[A-Z_]+", path.read_text())
    }
    print(f"{len(named)} variables")
    assert len(named) > 6
    assert named <= known
