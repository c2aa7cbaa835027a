"""Rules and dashboards: what they ask for is exported, an alert links to help, each alert fires when it should."""

import re
from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path

import pytest

from deploy.observability import dashboards
from ingress.accept import DEAD_LETTER_CODES
from ingress.access_log import OTHER
from ingress.authenticate import Refused
from ingress.dialects import specification
from ingress.http import problems
from ingress.http.answers import Problem
from ingress.settings import IngressSettings
from processors.decide import labels as labels_of_outcome
from processors.lag import ProblemKind
from processors.model import DeadLettered, Duplicate, Emit
from processors.settings import ProcessorSettings
from runtime.errors import PipelineError, TransientError
from schemas.dead_letter import Code, Reason, Stage
from schemas.events import ENDPOINTS, EventType
from tests.support.ports import stable_port
from tests.unit.deploy.metrics import (
    Selector,
    exposition,
    groupings_of,
    labels_exported,
    names_in,
    selectors_of,
    series_at_start,
)
from tests.unit.deploy.observability import (
    DASHBOARDS,
    DIRECTORY,
    RULE_TESTS,
    RULES,
    Rule,
    anchors,
    dashboard_queries,
    read,
    rules,
)
from tests.unit.deploy.tools import ROOT, needed, output

SEVERITIES = {"page", "ticket"}
HOW = "apt-get install prometheus, or make check as root on Debian"
# What Prometheus adds to every series, as it is set up in deploy/.
TARGET_LABELS = {"job", "instance", "namespace", "pod"}
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}

QUERIES = [(rule.name, rule.query) for rule in rules()] + dashboard_queries()


@pytest.fixture(scope="module")
async def exported(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[set[str]]:
    """The names of the metrics of both programs, from their own /metrics."""
    nowhere = f"127.0.0.1:{stable_port()}"
    ingress, processor = stable_port(), stable_port()
    common = {"KAFKA_BOOTSTRAP_SERVERS": nowhere, "LOG_LEVEL": "error"}
    of_ingress = common | {
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(stable_port()),
        "INGRESS_ADMIN_PORT": str(ingress),
        "INGRESS_BEARER_TOKENS": "t:t",
        "INGRESS_SPOOL_DIR": str(tmp_path_factory.mktemp("spool")),
    }
    of_processor = common | {
        "PROCESSOR_HOST": "127.0.0.1",
        "PROCESSOR_ADMIN_PORT": str(processor),
        "DATABASE_URL": f"postgresql://{nowhere}/none",
    }
    async with (
        exposition("ingress", of_ingress, ingress) as first,
        exposition("processors", of_processor, processor) as second,
    ):
        yield names_in(first) | names_in(second)


@cache
def recorded() -> set[str]:
    return {rule.name for rule in rules() if not rule.alerts}


def test_every_metric_that_is_asked_for_is_exported(exported: set[str]) -> None:
    known = exported | recorded() | OF_PROMETHEUS.keys()

    missing = {(where, s.name) for where, query in QUERIES for s in selectors_of(query) if s.name not in known}
    assert missing == set()
    assert len({selector.name for _, query in QUERIES for selector in selectors_of(query)}) > 30


def test_every_metric_of_ours_is_on_a_dashboard(exported: set[str]) -> None:
    shown = {selector.name for where, query in QUERIES if ":" in where for selector in selectors_of(query)}
    shown |= {s.name for rule in rules() if not rule.alerts for s in selectors_of(rule.query)}

    ours = {name for name in exported if name.startswith("ringover_") and not name.endswith(("_created", "_sum"))}
    families = {name.removesuffix("_bucket").removesuffix("_count") for name in ours}
    assert families - {name.removesuffix("_bucket").removesuffix("_count") for name in shown} == set()


def values_known() -> dict[str, set[str]]:
    """The values that a label may have, for labels whose values are of our making."""
    statuses = {value.status.value for value in vars(problems).values() if isinstance(value, Problem)} | {202, 401}
    reason = Reason(Stage.NORMALIZE, Code.NOT_JSON, "")
    started = EventType.CALL_STARTED
    outcomes = (
        Emit(started),
        Duplicate(started, conflict=False),
        Duplicate(started, conflict=True),
        DeadLettered(reason),
    )
    return {
        "endpoint": {*ENDPOINTS, OTHER},
        "code": {str(status) for status in statuses},
        "outcome": {labels_of_outcome(outcome)[1] for outcome in outcomes},
        "class": {f"{status // 100}xx" for status in statuses},
        "result": {"loaded", "refused"},
        "kind": {kind.value for kind in ProblemKind},
        "job": {scrape["job_name"] for scrape in read(DIRECTORY / "prometheus.yml")["scrape_configs"]},
        "alertstate": {"firing"},
    }


def unknown_in(selector: Selector) -> list[str]:
    """What a filter asks for that no series can have."""
    labels = labels_exported().get(selector.name, {})
    wrong = []
    for label, operator, value in selector.matchers:
        if label not in labels.keys() | TARGET_LABELS | OF_PROMETHEUS.get(selector.name, set()):
            wrong.append(f"{selector.name} has no label {label}")
            continue
        known = labels["le"] if label == "le" else values_known()[label]
        plain = operator in {"MatchOp.Equal", "MatchOp.NotEqual"}
        if not (value in known if plain else any(re.fullmatch(value, one) for one in known)):
            wrong.append(f"{selector.name} never has {label}={value}")
    return wrong


def test_every_filter_can_match() -> None:
    wrong = {(where, text) for where, query in QUERIES for s in selectors_of(query) for text in unknown_in(s)}

    assert wrong == set()


def test_what_is_counted_has_its_series_before_the_first_event() -> None:
    """`increase()` does not see the first event of a new series."""
    there = series_at_start()
    types, codes = {event_type.value for event_type in EventType}, {code.value for code in Code}
    refusals = [*vars(problems).values(), *vars(specification).values()]
    statuses = values_known()["code"] - {"404"}  # of no endpoint of ours

    assert there["ringover_events_total"] == {
        *each(types, values_known()["outcome"] - {"dead_letter"}),
        frozenset({"unknown", "dead_letter"}),
    }
    assert there["ringover_end_to_end_seconds_count"] == each(types)
    assert there["ringover_dead_letters_total"] == each(codes)
    assert there["ringover_ingress_dead_letters_total"] == each({code.value for code in DEAD_LETTER_CODES})
    assert there["ringover_webhook_refused_total"] == each(
        {one.code for one in refusals if isinstance(one, Problem | Refused)}
    )
    assert there["ringover_http_requests_total"] == each(set(ENDPOINTS), statuses)
    assert there["ringover_http_request_duration_seconds_count"] == each(set(ENDPOINTS), values_known()["class"])
    assert there["ringover_http_displaced_total"] == each({"bytes", "connection"})
    for name in ("ringover_credentials_reloaded_total", "ringover_certificates_reloaded_total"):
        assert there[name] == each(values_known()["result"])
    assert there["ringover_build_info"] == each({version("ringover-events")})


def test_every_error_that_a_processor_tries_again_after_has_its_series() -> None:
    of_the_ingress = {"RecordRefusedError", "SpoolFullError", "SpoolUnavailableError"}
    known = {
        "state",
        "unexpected",
        "FencedError",
        "RefusedError",
        *(error.__name__ for error in below(TransientError)),
    } - of_the_ingress

    assert series_at_start()["ringover_retries_total"] == each(known)


def each(*values: set[str]) -> set[frozenset[str]]:
    """Every combination of label values."""
    return {frozenset(combination) for combination in product(*values)}


def below(error: type[PipelineError]) -> set[type[PipelineError]]:
    """All kinds of an error."""
    return {found for direct in error.__subclasses__() for found in (direct, *below(direct))}


def test_a_filter_that_can_match_nothing_is_noticed() -> None:
    typo = selectors_of('ringover_http_requests_total{endpoint="call-begun", status="202"}')[0]
    bound = selectors_of('ringover_end_to_end_seconds_bucket{le="3.0"}')[0]

    assert len(unknown_in(typo)) == 2
    assert len(unknown_in(bound)) == 1


def test_every_grouping_is_by_labels_that_are_there() -> None:
    labels = labels_exported()
    wrong = set()
    for where, query in QUERIES:
        for grouping, below in groupings_of(query):
            there = TARGET_LABELS.union(*(labels.get(selector.name, {}) for selector in below))
            wrong |= {(where, label) for label in grouping - there}

    assert wrong == set()


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.alerts], ids=lambda rule: rule.name)
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: Rule) -> None:
    page, _, anchor = rule.annotations["runbook_url"].partition("#")

    assert set(rule.annotations) == {"summary", "runbook_url"}
    assert rule.labels["severity"] in SEVERITIES
    assert anchor in anchors((ROOT / page).read_text(encoding="utf-8"))


def test_links_with_an_anchor_lead_to_a_heading() -> None:
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)\s]+)\)", text):
            there = (page.parent / target) if target else page
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def test_every_alert_is_tried() -> None:
    tried = "\n".join(path.read_text(encoding="utf-8") for path in RULE_TESTS)
    fires = set(re.findall(r'exp_samples: \[\{labels: \'\{alertname="(\w+)"\}', tried))

    assert {rule.name for rule in rules() if rule.alerts} == fires
    assert 'count by (alertname) (ALERTS{alertstate="firing"})' in (DIRECTORY / "rules/tests/healthy.yml").read_text()


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path) -> None:
    output([needed("promtool", how=HOW), "test", "rules", path])


def test_prometheus_reads_its_configuration_and_all_rules() -> None:
    said = output([needed("promtool", how=HOW), "check", "config", DIRECTORY / "prometheus.yml"])

    assert f"SUCCESS: {len(RULES)} rule files found" in said


def test_prometheus_asks_the_admin_ports() -> None:
    asked = {
        scrape["job_name"]: scrape["dns_sd_configs"][0]["port"]
        for scrape in read(DIRECTORY / "prometheus.yml")["scrape_configs"]
    }

    assert asked == {
        "ringover-ingress": IngressSettings.model_fields["ingress_admin_port"].default,
        "ringover-processor": ProcessorSettings.model_fields["processor_admin_port"].default,
    }


def test_dashboards_are_those_of_the_module() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS}

    assert written == {f"{board.uid}.json": dashboards.rendered(board) for board in dashboards.DASHBOARDS}


def test_the_objectives_are_bounds_of_the_histograms() -> None:
    labels = labels_exported()

    assert "0.25" in labels["ringover_http_request_duration_seconds_bucket"]["le"]
    assert "2.0" in labels["ringover_end_to_end_seconds_bucket"]["le"]
