# make setup | demo | test | unit | lint | truth | long-days | arrangements | versions | mutation | rules-table |
# integration | soak | infra | bench | wheel | audit | clean
# Everything lives in this folder: .venv (the programs) and .fairbook (the local broker and its state).
# PYTHON=... chooses the interpreter of .venv; TESTS="-k name" goes to pytest.

PYTHON ?= python3
TESTS ?=
PINS ?= constraints.txt
BIN := .venv/bin
export FAIRBOOK_KAFKA_LIBS ?= $(CURDIR)/.fairbook/kafka/libs
PIP := pip install --quiet --disable-pip-version-check

.PHONY: setup demo test lint types unit truth long-days arrangements versions mutation mutation-short rules-table doctest integration
.PHONY: soak infra bench python wheel audit constraints clean

# Java and Maven first: what may be missing is said before the downloads begin.
setup: $(FAIRBOOK_KAFKA_LIBS)/pom.sha256 .venv/installed

demo: setup
	$(BIN)/fairbook demo

# The real broker last: what is quick to fail fails first.
test: setup lint types unit doctest integration

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

unit: .venv/installed
	$(BIN)/pytest -n logical --dist worksteal $(wildcard tests/unit tests/scenarios tests/checks tests/golden tests/truth) $(TESTS)

# Ten million simulated events, planted acts of every kind: is each found, and nothing else? Figures are kept in
# tests/truth/results. TRUTH="--seeds 2 --events 50000" for less.
truth: .venv/installed
	$(BIN)/python tests/truth/truth.py $(TRUTH)

# Days of 60,000 records and more, compared with brute force in every fact: minutes.
long-days: .venv/installed
	FAIRBOOK_LONG_DAYS=60000 $(BIN)/pytest tests/checks/test_long_days.py -s $(TESTS)

# The cases again, with hundreds of ways for their topics to arrive: minutes.
arrangements: .venv/installed
	FAIRBOOK_ARRANGEMENTS=500 $(BIN)/pytest tests/scenarios/test_stages.py -s $(TESTS)

# Writes down the rules' versions and what they compute with: see tests/checks/rule_versions.py.
versions: .venv/installed
	$(BIN)/python tests/checks/rule_versions.py $(if $(SAME_ANSWERS),same-answers)

# `detectors` changed in every small way: what does no test notice? Hours for all; MODULES="priority" for some.
mutation: .venv/installed build/mutation/installed
	$(BIN)/python tests/mutation/mutate.py $(MODULES)

# The same of one small module: minutes.
mutation-short: .venv/installed build/mutation/installed
	$(BIN)/python tests/mutation/mutate.py --short

build/mutation/installed: tests/mutation/requirements.txt | python
	$(PYTHON) -m venv build/mutation
	build/mutation/bin/$(PIP) -r tests/mutation/requirements.txt
	@touch $@

# Writes the README's table of rules anew, between its two markers, after a change of the rulebook or a rule.
rules-table: .venv/installed
	@mkdir -p build
	$(BIN)/fairbook rules --markdown > build/rules.md
	sed -e '/^<!-- rules -->/r build/rules.md' -e '/^<!-- rules -->/,/^<!-- \/rules -->/{//!d;}' README.md > build/README.md
	@mv build/README.md README.md

doctest: .venv/installed
	$(BIN)/pytest --doctest-modules schemas detectors streams $(TESTS)

# Units, manifests, rules and dashboards, by the checkers of whoever reads them (also promtool, systemd-analyze).
infra: .venv/installed
	$(BIN)/$(PIP) -c constraints.txt -e '.[dev,infra]'
	FAIRBOOK_INFRA=1 $(BIN)/pytest tests/checks/test_infra.py $(TESTS)

integration: setup
	$(BIN)/pytest -n 2 --dist worksteal tests/integration $(TESTS)

# What takes too long for every change: a million accounts through a real Kafka.
soak: setup
	FAIRBOOK_ACCOUNTS=1000000 $(BIN)/pytest -s tests/integration/test_many_accounts.py

python:
	@command -v $(PYTHON) >/dev/null \
	  || { echo "Python is missing: install 3.11 or later, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$$($(PYTHON) -V 2>&1) is too old: install 3.11 or later, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module: install it (Debian: apt install python3-venv)"; exit 1; }

.venv/installed: pyproject.toml constraints.txt | python
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

$(FAIRBOOK_KAFKA_LIBS)/pom.sha256: infra/kafka/pom.xml | python
	@$(PYTHON) -m streams.kafka_jars $(@D)
	@touch $@

# The installed wheel in an environment of its own, tested from a copy: what a user gets, not this folder. Then its demo.
wheel: setup
	rm -rf build/wheel && mkdir -p build/wheel/tests
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/$(PIP) -c constraints.txt "$$(ls build/wheel/*.whl)[dev]"
	cp -R pyproject.toml constraints.txt README.md CONTRIBUTING.md Makefile tests build/wheel/
	cd build/wheel && venv/bin/python -c "import importlib.metadata as m; d = m.packages_distributions(); \
	  assert all(d[p] == ['fairbook'] for p in ('streams', 'detectors', 'schemas')), d" && venv/bin/pytest tests/unit $(TESTS)
	cd build/wheel && venv/bin/fairbook --version && venv/bin/fairbook demo

# Known vulnerabilities of what is pinned. Needs the network; what could not be asked about fails, too: no silence.
audit: python
	rm -rf build/audit && $(PYTHON) -m venv build/audit
	@build/audit/bin/$(PIP) pip-audit \
	  || { echo "make audit needs pip-audit from a package index: no connection to one"; exit 1; }
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r $(PINS) || { echo \
	  "make audit: a package above has a known vulnerability, or could not be looked up: the advisories come from" \
	  "the public Python package index, over the network; a mirror of it may not have them"; exit 1; }

# How fast each stage is here, against decoding alone; figures are kept in tests/bench/results.csv.
bench: .venv/installed
	$(BIN)/python tests/bench/stages.py

# After a change of pyproject.toml: resolve anew, then write down what was installed.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/$(PIP) -e '.[dev]'
	{ head -n 1 constraints.txt; build/constraints/bin/pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	@if [ -x $(BIN)/python ]; then \
	  $(BIN)/python -c "from pathlib import Path; from streams.broker import down; down(Path('.fairbook'))"; fi
	rm -rf .venv .fairbook build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
