# Every target sets up what it needs: .venv from the lock file, and the servers' files where servers run.
# Needed beforehand: Python 3.11 or newer with pip and venv, make.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SOURCES := schemas runtime ingress processors ops sandbox benchmarks tests

# The tests start Python by the hundred: it shall keep what it has compiled, whatever else holds on this machine.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
# Server tests are looked for where they are only (tests/conftest.py allows none elsewhere): each worker imports all it is given.
PYTEST_TOGETHER := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.support.together --numprocesses 4 --dist loadfile \
	tests/integration tests/e2e tests/contract

.DEFAULT_GOAL := help
.PHONY: help setup servers demo test server-tests outages chaos bench bench-smoke bench-docs profile streams-peer tls-postgres pgbouncer tools image verify-compose verify-kubernetes check unit simulate mutations floors format fuzz audit lock schemas deploy-files clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## create .venv and install everything, pinned and verified by hash

$(READY): locks/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "setup: creating .venv"
	@$(PYTHON) -m venv .venv
	@echo "setup: installing $$(grep -c == locks/dev.txt) pinned packages, verified by hash (half a minute)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r locks/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

servers: setup # Kafka's jars, verified by checksum, cached outside the clone
	@$(BIN)/ringover-ops devstack fetch

demo: servers ## webhooks become events on a real Kafka and a real PostgreSQL (KEEP=1 leaves it running)
	@$(BIN)/ringover-ops demo $(if $(KEEP),--keep)

# The devstack's PostgreSQL is built without TLS, which a part of the tests is about.
tls-postgres:
	@if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && [ -z "$$TEST_POSTGRES_PROGRAMS" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "test: installing Debian's PostgreSQL, for the tests of TLS"; \
			{ apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null 2>&1 || true; \
		else echo "test: the tests of TLS need a PostgreSQL of this machine: apt install postgresql"; fi; fi

# Debian's PgBouncer and its libraries, taken out of their packages, so that nothing is installed and started.
pgbouncer:
	@if ! command -v pgbouncer >/dev/null && [ ! -x .tools/pgbouncer/usr/sbin/pgbouncer ] && command -v apt-get >/dev/null; then \
		echo "test: fetching Debian's PgBouncer"; mkdir -p .tools/deb .tools/pgbouncer; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq >/dev/null 2>&1 || true; fi; \
		(cd .tools/deb && apt-get download -qq pgbouncer $$(apt-cache depends pgbouncer | grep -oE 'libc-?ares2|libevent-2[^ ]*' | sort -u) \
			&& for deb in *.deb; do dpkg-deb -x "$$deb" ../pgbouncer; done) >/dev/null 2>&1 \
			|| echo "test: no PgBouncer; the tests of poolers need it: apt install pgbouncer"; rm -rf .tools/deb; fi

# Programs that only tests of deploy/ need. promtool is taken out of Debian's package, so that no Prometheus is installed
# and started; kustomize is built only where no kubectl has it.
KUSTOMIZE := sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
tools:
	@if ! command -v promtool >/dev/null && [ ! -x .tools/promtool ] && command -v apt-get >/dev/null; then \
		echo "tools: fetching Debian's promtool"; mkdir -p .tools/deb; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq >/dev/null 2>&1 || true; fi; \
		(cd .tools/deb && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool ..) >/dev/null 2>&1 \
			|| echo "tools: no promtool; the tests of alert rules need it: apt install prometheus"; rm -rf .tools/deb; fi
	@if ! command -v kubectl >/dev/null && ! command -v kustomize >/dev/null && [ ! -x .tools/kustomize ] && command -v go >/dev/null; then \
		echo "tools: building kustomize (a minute)"; \
		GOBIN="$$PWD/.tools" go install $(KUSTOMIZE) >/dev/null 2>&1 || echo "tools: no kustomize; the tests of deploy/k8s need it, or kubectl"; fi

test: unit server-tests ## every test, on real servers (but for mutations, and outages of a minute)

server-tests: servers tls-postgres pgbouncer tools ## the tests that `make check` leaves out because they need servers
	@$(PYTEST_TOGETHER) -m "server and not mutation and not floors and not alone"
	@$(PYTEST) tests/integration -m alone

outages: servers ## the broker killed, the broker frozen, PostgreSQL killed: a minute each, under load
	@OUTAGE_SECONDS=60 $(PYTEST) -rP tests/e2e/outages -k "no_webhook or under_load"

chaos: servers ## faults under load, then every invariant (CHAOS_MINUTES=10, CHAOS_SEED=random, BROKERS=1 or 3)
	@CHAOS_MINUTES=$(CHAOS_MINUTES) CHAOS_SEED=$(CHAOS_SEED) BROKERS=$(BROKERS) $(BIN)/python -m tests.chaos $(CHAOS_ARGS)

IMAGE ?= ringover-events:local

image: ## the container image, by Docker (IMAGE=ringover-events:local, IMAGE_OPTIONS=)
	@DOCKER_BUILDKIT=1 docker build --file deploy/Dockerfile --tag $(IMAGE) \
		--label org.opencontainers.image.revision=$$(git rev-parse HEAD) \
		--label org.opencontainers.image.created=$$(git log -1 --format=%cI) $(IMAGE_OPTIONS) .

verify-compose: servers ## image and docker-compose.yml for real, on a Docker daemon of its own: as root, on Debian
	@deploy/verify/compose.sh $(TESTS)

verify-kubernetes: setup ## deploy/k8s on a real API server, controllers and scheduler, without kubelets: needs Go
	@deploy/verify/kubernetes.sh

check: setup tools ## format, lint, types, import rules, and every test that needs no server
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(PYTEST) --numprocesses 2 --dist loadfile -m "not server and not mutation and not floors"

unit: setup tools ## the tests that need no server
	@$(PYTEST) --numprocesses 2 --dist loadfile -m "not server and not mutation and not floors"

simulate: setup ## the processor's cycle against 50,000 schedules of faults, each longer than in `make check`
	@SIMULATION_SCHEDULES=$${SIMULATION_SCHEDULES:-50000} SIMULATION_BYTES=$${SIMULATION_BYTES:-300} $(BIN)/pytest --timeout=0 tests/simulation

mutations: servers ## take each safety rule out of the code: some test must fail
	@$(BIN)/pytest tests/mutations

floors: setup ## the tests that need no server, with the lowest versions that pyproject.toml allows
	@$(BIN)/pytest tests/floors

format: setup ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schemas: setup ## write the JSON Schemas of the events and the OpenAPI description anew
	@$(BIN)/python -m schemas.export
	@$(BIN)/python -m ingress.openapi

deploy-files: setup ## write what is generated in deploy/ anew: dashboards, topics, users, rules
	@$(BIN)/python -m deploy.observability.dashboards
	@$(BIN)/python -m deploy.k8s.generate

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
LOCK := $(BIN)/uv pip compile pyproject.toml $(LOCK_OPTIONS)
LOCK_ALONE := $(BIN)/uv pip compile $(LOCK_OPTIONS)

SECURITY := .venv-security
FUZZ_SECONDS ?= 60

$(SECURITY)/.ready: locks/security.txt
	@echo "security: creating $(SECURITY)"
	@$(PYTHON) -m venv $(SECURITY)
	@$(SECURITY)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/security.txt
	@touch $@

fuzz: $(SECURITY)/.ready ## strangers' bytes against authentication and acceptance, by coverage (FUZZ_SECONDS=60)
	@$(SECURITY)/bin/python -m tests.fuzz.corpus .fuzz/corpus
	@$(SECURITY)/bin/python -m tests.fuzz.fuzz_ingress .fuzz/corpus -max_total_time=$(FUZZ_SECONDS) -max_len=16384 \
		-timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=.fuzz/

audit: $(SECURITY)/.ready ## known vulnerabilities of what is locked; fails when their data cannot be had
	@for lock in runtime otel dev; do \
		echo "audit: locks/$$lock.txt"; \
		$(SECURITY)/bin/pip-audit --requirement locks/$$lock.txt --require-hashes --disable-pip --strict --progress-spinner off \
			|| { echo "audit: not passed: either findings, above, or their data could not be read" >&2; exit 1; }; \
	done

BENCH := .venv-bench
STREAMS := benchmarks/peers/kafka-streams

$(BENCH)/.ready: locks/bench.txt
	@echo "bench: creating $(BENCH), $$(grep -c == locks/bench.txt) pinned packages, verified by hash (a minute)"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/bench.txt
	@touch $@

# A peer that cannot be built is said to have failed; the others are measured all the same.
streams-peer:
	@if command -v mvn >/dev/null; then mvn --quiet --batch-mode -Dstyle.color=never --file $(STREAMS)/pom.xml package; \
	else echo "bench: without Maven and a JDK 17 there is no Kafka Streams to compare with (apt-get install maven)"; fi || true

bench: servers $(BENCH)/.ready streams-peer ## how fast, beside other ways of doing the same, in under 40 minutes (ONLY=ingress,latency, BENCH_SCALE=0.1)
	@if ! command -v wrk >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "bench: installing wrk"; apt-get install -y -qq wrk >/dev/null 2>&1 || true; fi
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-smoke: servers ## that the benchmark works and verifies what it counts; never a time
	@$(BIN)/pytest tests/e2e/test_benchmarks.py

bench-docs: setup $(BENCH)/.ready # docs/performance.md and its charts from benchmarks/results
	@$(BIN)/python -m benchmarks.page

profile: servers $(BENCH)/.ready ## flame graphs of ingress and processor under load, in .bench/profile
	@$(BIN)/python -m benchmarks.profile

lock: setup ## write the lock files anew from pyproject.toml
	@$(LOCK) --extra devstack --extra otel --group dev --output-file locks/dev.txt
	@$(LOCK) --output-file locks/runtime.txt
	@$(LOCK) --extra otel --constraint locks/dev.txt --output-file locks/otel.txt
	@$(LOCK) --group security --output-file locks/security.txt
	@$(LOCK_ALONE) --group bench --output-file locks/bench.txt
	@$(LOCK_ALONE) --group build --output-file locks/build.txt

clean: ## remove .venv and caches of this clone
	rm -rf .venv .venv-security .venv-bench .bench $(STREAMS)/target .fuzz .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
