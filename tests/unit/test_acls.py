"""The ACLs of each kind: one table, in every form the same; secrets that others can read are told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBinding, ResourcePatternType

from streams import acls, topics
from streams.kafka_properties import exposed
from streams.settings import Settings, SettingsError, resource

SETTINGS = Settings(prefix="uat.", broker="k1:9093")


def test_the_recipe_has_the_table() -> None:
    text = resource("infra/kafka/README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- acls -->\n(.*?)\n<!-- /acls -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1].splitlines() == list(acls.markdown(acls.lines(Settings())))


def test_every_kind_is_explained_and_every_topic_is_of_ours() -> None:
    assert acls.WHO.keys() == acls.GRANTS.keys()
    ours = {spec.name for spec in topics.TOPICS}
    named = {grant.name for grants in acls.GRANTS.values() for grant in grants if grant.resource == "topic"}
    assert named == ours


def test_the_script_says_what_is_applied() -> None:
    """Kafka's tool and our own client set the same: read off the script's words, not from the table."""
    wanted = acls.lines(SETTINGS, principal="User:CN={kind},OU=desk")
    said: set[tuple[str, ...]] = set()
    for line in acls.script(SETTINGS, wanted):
        words = shlex.split(line)
        named = {name: words[at + 1] for at, name in enumerate(words) if name in ("--topic", "--group")}
        ((resource_word, name),) = named.items()
        pattern = "PREFIXED" if "prefixed" in words else "LITERAL"
        for at, word in enumerate(words):
            if word == "--operation":
                operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words[at + 1]).upper()
                principal = words[words.index("--allow-principal") + 1]
                said.add((principal, operation, resource_word[2:].upper(), name, pattern))
        assert words[:3] == ["kafka-acls.sh", "--bootstrap-server", "k1:9093"]
    applied = [
        (one.principal, one.operation.name, one.restype.name, one.name, one.resource_pattern_type.name)
        for one in acls.bindings(wanted)
    ]
    assert said == set(applied)
    assert acls.count(wanted) == len(applied) == len(said)
    assert all(name.startswith("uat.") for _, _, _, name, _ in applied)
    assert ("User:CN=tag,OU=desk", "WRITE", "TOPIC", "uat.journal", "LITERAL") in said
    print(f"compared {len(said)} ACLs")


def test_one_principal_for_several_kinds_has_each_once() -> None:
    wanted = acls.lines(SETTINGS, ["tag", "detect", "land"], "User:fairbook")
    found = list(acls.bindings(wanted))
    assert {one.principal for one in found} == {"User:fairbook"}
    assert acls.count(wanted) == len(set(found)) < len(found)
    readers: list[AclBinding] = [
        one for one in found if one.resource_pattern_type == ResourcePatternType.PREFIXED
    ]
    assert {one.name for one in readers} == {"uat.fairbook-reader"}


@pytest.mark.parametrize("principal", ["fairbook", "User:", ":fairbook", "User:{who}", "User:{kind", ""])
def test_a_principal_is_type_and_name(principal: str) -> None:
    with pytest.raises(SettingsError, match="expected Type:name, such as User:fairbook-"):
        acls.lines(SETTINGS, principal=principal)


def test_a_kind_is_one_of_ours() -> None:
    with pytest.raises(SettingsError, match="kind 'tags': expected one of venue, operator, tag, detect"):
        acls.lines(SETTINGS, ["tag", "tags"])


def test_a_secret_that_every_user_can_read_is_told(tmp_path: Path) -> None:
    file, key = tmp_path / "kafka.properties", tmp_path / "key.pem"
    password, tls = {"sasl.password": "hush"}, {"ssl.key.location": str(key)}
    found = {}
    for mode in (0o600, 0o640, 0o644, 0o604):
        for path in (file, key):
            path.touch()
            path.chmod(mode)
        found[mode] = len(exposed(file, password)), len(exposed(file, tls)), len(exposed(file, {}))
    # Of a group it may be on purpose: secrets that an orchestrator mounts are.
    assert found == {0o600: (0, 0, 0), 0o640: (0, 0, 0), 0o644: (1, 1, 0), 0o604: (1, 1, 0)}
    told = " ".join(exposed(file, password | tls))
    assert "hush" not in told
    assert told.count("chmod 600") == 2
