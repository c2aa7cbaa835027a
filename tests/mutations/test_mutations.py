"""Take each safety rule out of a copy of the project: the tests that stand for it must fail, and only then."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mutations.rules import RULES, SERVER_RULES, Edit, Rule
from tests.mutations.runner import Report, copy_project, run_tests
from tests.support.infrastructure import Infrastructure

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(900)]

AT_ONCE = 2
QUICKLY = {"SIMULATION_NO_SHRINKING": "1"}
FEW_SCHEDULES = {"SIMULATION_SCHEDULES": "100"}
Reports = dict[str, Future[Report]]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Reports]:
    """Every run that the selected tests need, some at once."""
    wanted = set(_selected(request))
    with ThreadPoolExecutor(AT_ONCE) as executor:
        yield {
            rule.name: executor.submit(mutated, rule, tmp_path_factory.mktemp("copy"), QUICKLY)
            for rule in RULES
            if rule.name in wanted
        }


def _selected(request: pytest.FixtureRequest) -> Iterator[str]:
    """Names of the rules whose tests will run."""
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec"):
            rule = item.callspec.params.get("rule")
            if isinstance(rule, Rule):
                yield rule.name


def mutated(rule: Rule, copy: Path, environment: dict[str, str]) -> Report:
    copy_project(copy, rule.edits)
    return run_tests(copy, rule.tests, environment)


def assert_noticed(rule: Rule, report: Report) -> None:
    """Every test of the rule failed, by what it asserts."""
    assert report.errors == [], report.text
    for test in rule.tests:
        failed = [name for name in report.failed if name.startswith(test)]
        assert failed, f"{test} does not notice that this is missing: {rule.name}\n{report.text}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_missed(rule: Rule, reports: Reports) -> None:
    assert_noticed(rule, reports[rule.name].result())


@pytest.mark.parametrize("rule", SERVER_RULES, ids=lambda rule: rule.name)
def test_rule_is_missed_on_real_servers(rule: Rule, tmp_path: Path, servers: Infrastructure) -> None:
    assert_noticed(rule, mutated(rule, tmp_path, environment_of(servers)))


def test_the_copy_without_edits_passes(tmp_path: Path) -> None:
    copy_project(tmp_path)

    report = run_tests(tmp_path, sorted({test for rule in RULES for test in rule.tests}), FEW_SCHEDULES)

    assert report.errors == [], report.text
    assert report.failed == {}, report.text
    assert len(report.outcomes) >= len({test for rule in RULES for test in rule.tests})


def test_the_copy_without_edits_passes_on_real_servers(tmp_path: Path, servers: Infrastructure) -> None:
    copy_project(tmp_path)
    tests = {test for rule in SERVER_RULES for test in rule.tests}

    report = run_tests(tmp_path, sorted(tests), environment_of(servers))

    assert report.errors == [], report.text
    assert report.failed == {}, report.text
    assert len(report.outcomes) == len(tests)


def environment_of(servers: Infrastructure) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers, "DATABASE_URL": servers.database_url}


def test_edit_of_text_that_is_no_longer_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 times"):
        copy_project(tmp_path, [Edit("processors/decide.py", "no such text", "")])


def test_broken_code_is_not_taken_for_a_failing_test(tmp_path: Path) -> None:
    wrong = Rule("wrong", (Edit("processors/decide.py", "return sorted(", "return sorte("),), RULES[-3].tests)
    copy_project(tmp_path, wrong.edits)

    report = run_tests(tmp_path, ["tests/unit/processors/test_decide.py::test_empty_batch_decides_nothing"], {})

    assert report.errors != []
