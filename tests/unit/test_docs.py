"""What the README and the other pages claim, held against the code."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.picture import PATH, svg
from ingress import authenticate
from ingress.http import problems
from ingress.http.answers import Problem
from ops.cli import COMMANDS
from schemas.dead_letter import Code
from schemas.events import ENDPOINTS, PATH_PREFIX
from schemas.headers import EventHeaders
from schemas.identity import EventId, IdempotencyKey
from schemas.topics import TOPICS
from tests.mutations.rules import RULES, SERVER_RULES, SIMULATION
from tests.support.arrows import PACKAGES
from tests.unit.ops.test_cli import COMMANDS as COMMAND_TREE
from tests.unit.test_docs_settings import settings_of_programs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
WEBHOOKS, EVENTS = ((DOCS / name).read_text(encoding="utf-8") for name in ("webhooks.md", "events.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which tells of the past, too
FOLDERS = (*PACKAGES, "tests", "deploy", "docs", "benchmarks", "locks")
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"`([^`\n]+)`")

page_by_page = pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def quoted(text: str) -> list[str]:
    """What stands in backticks, outside of blocks of code."""
    return _QUOTED.findall(_FENCED.sub("", text))


def anchors(page: Path) -> set[str]:
    """The names of a page's sections, as GitHub makes them, and those set by hand."""
    text = _FENCED.sub("", text_of(page))
    seen: Counter[str] = Counter()
    found = set(re.findall(r'<a id="([^"]+)"', text))
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", title).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file and the section, or "", that each relative link of a page leads to."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            yield (page.parent / name).resolve() if name else page, anchor


def test_pages_name_every_endpoint_topic_reason_and_problem() -> None:
    refusals = [value for value in vars(authenticate).values() if isinstance(value, authenticate.Refused)]
    codes = [value.code for value in vars(problems).values() if isinstance(value, Problem)]
    codes.remove(problems.INTERNAL.code)  # a fault of ours is not part of the contract

    endpoints = [PATH_PREFIX + slug for slug in ENDPOINTS]
    assert [words for words in endpoints if words not in README or words not in WEBHOOKS] == []
    answers = [f"`{code}`" for code in [*codes, *(refusal.code for refusal in refusals)]]
    assert [words for words in answers if words not in WEBHOOKS] == []
    wanted = [topic.name for topic in TOPICS] + [f"`{code.value}`" for code in Code]
    assert [words for words in wanted if words not in EVENTS] == []


def test_page_on_events_has_every_field_and_header_and_the_specifications_values() -> None:
    schemas = [json.loads(text_of(path)) for path in (ROOT / "schemas" / "jsonschema").glob("*.json")]
    assert [name for schema in schemas for name in schema["properties"] if f"`{name}`" not in EVENTS] == []
    for event_type in ENDPOINTS.values():
        every = EventHeaders(event_type, EventId(""), "", "", IdempotencyKey(""), "", b"", "", "")
        assert [name for name, _ in every.encode() if f"`{name}`" not in EVENTS] == []
    for slug in ENDPOINTS:
        example = ROOT / "schemas" / "examples" / slug / "specification.expected.json"
        value = json.dumps(json.loads(text_of(example)), separators=(",", ":"), ensure_ascii=False)
        assert f"```json\n{value}\n```" in EVENTS, slug


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_sections_that_are_there(page: Path) -> None:
    lost = [
        f"{path.name}#{anchor}"
        for path, anchor in links(page)
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path))
    ]
    assert lost == []


@page_by_page
def test_files_and_folders_that_a_page_names_are_there(page: Path) -> None:
    """Paths from the root or from the page; of a Python file without a folder, one of that name somewhere."""
    known = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    lost = []
    for words in quoted(text_of(page)):
        name = words.partition("::")[0]
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*", name):
            there = (ROOT / name).exists() or (page.parent / name).exists()
        elif re.fullmatch(r"\w+\.py", name):
            there = name in known
        else:
            continue
        if not there:
            lost.append(words)
    assert lost == []


@page_by_page
def test_names_that_a_page_gives_beside_a_file_are_in_it(page: Path) -> None:
    """`some/file.py`, `name`: the name is defined there."""
    named = re.findall(r"`([\w/]+\.(?:py|sql))`, `(\w+)`", text_of(page))

    assert [name for file, name in named if not re.search(rf"\b{name}\b", text_of(ROOT / file))] == []


@page_by_page
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    text = text_of(page)
    places = "\n".join([*quoted(text), *_FENCED.findall(text)])
    groups = {command.partition(" ")[0] for command in COMMAND_TREE if " " in command}
    lost = []
    for name, second in re.findall(r"ringover-ops +([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", places):
        whole = f"{name} {second}" if second and name in groups else name
        lost += [] if whole in COMMAND_TREE else [whole]
    assert lost == []


@page_by_page
def test_targets_of_make_and_settings_that_a_page_names_are_there(page: Path) -> None:
    text = text_of(page)
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", text, re.MULTILINE)) - targets == set()

    settings = {name.upper() for found in settings_of_programs() for name in found.model_fields}
    named = re.findall(r"`((?:INGRESS|PROCESSOR)_[A-Z_]+[A-Z])\b", text)
    assert {name for name in named if name not in settings and name.removesuffix("_FILE") not in settings} == set()


def test_sections_that_the_code_refers_to_are_there() -> None:
    referring = [
        path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in {".py", ".yaml", ".yml"}
    ]
    found = set()
    for path in referring:
        found |= set(re.findall(r'docs/([a-z]+)\.md, "([^"{]+)"', text_of(path)))
    assert len(found) > 3
    for page, title in found:
        assert re.search(rf"^(#+ |.*\*\*){re.escape(title)}", text_of(DOCS / f"{page}.md"), re.MULTILINE), (page, title)


def test_every_command_has_a_row_on_the_page_for_operators() -> None:
    page = text_of(DOCS / "operating.md")

    assert [name for name in COMMANDS if not re.search(rf"^\| .*`{name}[ `]", page, re.MULTILINE)] == []


def test_picture_is_as_its_script_draws_it() -> None:
    assert text_of(PATH) == svg(), "run `python docs/picture.py`"


def test_the_guarantee_is_the_same_everywhere() -> None:
    def sentences(text: str) -> str:
        return " ".join(text.replace(">", " ").split())

    guarantee = sentences(README.split("## The guarantee")[1].split("How it is kept")[0])
    assert guarantee in sentences(text_of(DOCS / "design.md"))


def test_every_glossary_word_is_explained_once() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", text_of(DOCS / "glossary.md"), re.MULTILINE)

    assert len(rows) == len(set(rows)) > 20


def test_page_on_tests_lists_every_safety_rule_and_the_tests_that_notice_its_absence() -> None:
    page = text_of(DOCS / "testing.md")
    for rule in (*RULES, *SERVER_RULES):
        row = re.search(rf"^\| {re.escape(rule.name)} \| .+ \| (.+) \|$", page, re.MULTILINE)
        assert row is not None, rule.name
        names = ["the simulation" if test == SIMULATION else f"`{test.rpartition('::')[2]}`" for test in rule.tests]
        assert row[1] == ", ".join(names), rule.name
