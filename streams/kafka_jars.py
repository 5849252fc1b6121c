"""Java and the jars of Apache Kafka for the local broker: found, resolved by Maven, run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from streams.settings import resource

LIBS = "FAIRBOOK_KAFKA_LIBS"
JAVA_VERSION = 17
JAVA_HELP = (
    f"install Java {JAVA_VERSION} or later"
    " (Debian: apt install default-jre-headless; macOS: brew install openjdk)"
)
MAVEN_HELP = "install Maven (Debian: apt install maven; macOS: brew install maven)"


class BrokerError(RuntimeError):
    """The local broker cannot be started or ended; one line that says what is missing and how to get it."""


def default_folder(home: Path) -> Path:
    """Where the jars of a broker in folder `home` are, unless FAIRBOOK_KAFKA_LIBS names a place."""
    named = os.environ.get(LIBS)
    return Path(named) if named else home / "libs"


def java() -> str:
    """The path of a Java that Kafka runs on, of JAVA_HOME or else PATH; BrokerError where there is none."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if path is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise BrokerError(f"Java is missing (looked in {where}): {JAVA_HELP}")
    told = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = java_version(told.stderr + told.stdout)
    if version is None or version < JAVA_VERSION:
        raise BrokerError(f"{path} is Java {version or 'of an unknown version'}: {JAVA_HELP}")
    return path


def java_version(text: str) -> int | None:
    """The major version in what `java -version` says ("1.8.0_292" is 8); None where it says none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def resolve(libs: Path) -> Path:
    """The folder with Kafka's jars, filled by Maven where it does not hold those of our pom.xml.

    The folder appears whole or not at all. BrokerError where Maven is missing or fails.
    """
    pom = resource("infra/kafka/pom.xml")
    wanted = hashlib.sha256(pom.read_bytes()).hexdigest()
    stamp = libs / "pom.sha256"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError(f"Maven is missing: {MAVEN_HELP}")
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix=f".{libs.name}-") as folder:
        fresh = Path(folder) / "libs"
        told = subprocess.run(
            [
                *(maven, "-q", "-B", "-Dstyle.color=never", "-f", str(pom)),
                *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode != 0:
            lines = [line for line in told.stdout.splitlines() if line.startswith("[ERROR]")]
            raise BrokerError(f"Maven could not resolve Kafka's jars ({pom}): {' '.join(lines[:1])}")
        (fresh / stamp.name).write_text(wanted, encoding="ascii")
        if libs.exists():
            shutil.rmtree(libs)
        fresh.rename(libs)
    return libs


def run_tool(java: str, libs: Path, main_class: str, *arguments: str) -> None:
    """Runs one of Kafka's own tools to its end; BrokerError with its last line where it fails."""
    command = [java, "-cp", f"{libs}/*", main_class, *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        lines = (told.stdout + told.stderr).strip().splitlines()
        raise BrokerError(f"Kafka's {main_class} failed: {lines[-1] if lines else 'no reason given'}")


def main(libs: str) -> None:
    """`python -m streams.kafka_jars FOLDER`: what `make setup` does before any package is installed."""
    try:
        java()
        resolve(Path(libs))
    except BrokerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
