"""Rules and dashboards as files: every query that they ask."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.unit.deploy.tools import ROOT

DIRECTORY = ROOT / "deploy" / "observability"
RULES = sorted((DIRECTORY / "rules").glob("*.yml"))
RULE_TESTS = sorted((DIRECTORY / "rules" / "tests").glob("*.yml"))
DASHBOARDS = sorted((DIRECTORY / "grafana" / "dashboards").glob("*.json"))


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording or alerting rule."""

    name: str
    query: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def alerts(self) -> bool:
        """Whether it is an alert; else it records a series."""
        return bool(self.annotations)


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[Rule]:
    """Every rule of every file."""
    return [
        Rule(rule.get("alert") or rule["record"], rule["expr"], rule.get("labels", {}), rule.get("annotations", {}))
        for path in RULES
        for group in read(path)["groups"]
        for rule in group["rules"]
    ]


def dashboard_queries() -> list[tuple[str, str]]:
    """Title of the panel and query, of every dashboard."""
    return [
        (f"{path.stem}: {panel['title']}", target["expr"])
        for path in DASHBOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
    ]


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as repository hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
