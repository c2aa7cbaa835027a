"""What the README and the other pages claim, held against the code."""

import re
from pathlib import Path

import pytest

from ingress import authenticate
from ingress.http import problems
from ingress.http.answers import Problem
from ingress.settings import IngressSettings
from processors.settings import ProcessorSettings
from runtime.settings import Settings
from schemas.dead_letter import Code
from schemas.events import ENDPOINTS, PATH_PREFIX
from schemas.topics import TOPICS
from tests.mutations.rules import RULES, SERVER_RULES, SIMULATION

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]


@pytest.mark.parametrize("settings", [IngressSettings, ProcessorSettings])
def test_readme_lists_every_setting_with_its_default_and_meaning(settings: type[Settings]) -> None:
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else str(field.default or "") or "none"
        if field.default is False:
            default = "false"
        row = re.search(rf"^\| `{name.upper()}` \| (.*) \| (.*) \|$", README, re.MULTILINE)
        assert row is not None, name
        assert row[1].strip("`") == (default if "**" not in default else "none"), name
        assert row[2] == field.description, name


def test_readme_names_every_endpoint_topic_reason_and_problem() -> None:
    refusals = [value for value in vars(authenticate).values() if isinstance(value, authenticate.Refused)]
    codes = [value.code for value in vars(problems).values() if isinstance(value, Problem)]
    codes.remove(problems.INTERNAL.code)  # a fault of ours is not part of the contract

    wanted = [PATH_PREFIX + slug for slug in ENDPOINTS]
    wanted += [topic.name for topic in TOPICS]
    wanted += [f"`{code.value}`" for code in Code]
    wanted += [f"`{code}`" for code in [*codes, *(refusal.code for refusal in refusals)]]
    assert [words for words in wanted if words not in README] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in targets if "://" not in link and not (page.parent / link).exists()] == []


def test_the_guarantee_is_the_same_everywhere() -> None:
    def sentences(text: str) -> str:
        return " ".join(text.replace(">", " ").split())

    guarantee = sentences(README.split("## The guarantee")[1].split("How it is kept")[0])
    assert guarantee in sentences((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))


def test_every_glossary_word_is_explained_once() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(rows) == len(set(rows)) > 20


def test_design_lists_every_safety_rule_and_the_tests_that_notice_its_absence() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for rule in (*RULES, *SERVER_RULES):
        row = re.search(rf"^\| {re.escape(rule.name)} \| .+ \| (.+) \|$", design, re.MULTILINE)
        assert row is not None, rule.name
        names = ["the simulation" if test == SIMULATION else f"`{test.rpartition('::')[2]}`" for test in rule.tests]
        assert row[1] == ", ".join(names), rule.name
