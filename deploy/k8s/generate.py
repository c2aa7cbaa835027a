"""The manifests that are made from other files: `python -m deploy.k8s.generate` writes them anew.

Topics from schemas.topics (as `ringover-ops topics apply` makes them on a cluster), users from deploy/kafka/acls.toml,
alert rules from deploy/observability/rules. A test fails when they differ.
"""

import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from deploy.kafka import acls
from ops.topics.plan import REPLICAS_OF_A_CLUSTER, wanted_topics
from schemas.topics import TopicNames

DIRECTORY = Path(__file__).parent
RULES = DIRECTORY.parent / "observability" / "rules"
HEADER = "# Generated from {source} by `make deploy-files`: change that, not this.\n"
STRIMZI = "kafka.strimzi.io/v1"
RESOURCES = {"topic": "topic", "group": "group", "transactional-id": "transactionalId", "cluster": "cluster"}
PATTERNS = {"literal": "literal", "prefixed": "prefix"}
EXAMPLES = {"billing"}  # shows downstream teams what to ask for; they make their own

Manifest = Mapping[str, Any]


def topics() -> list[Manifest]:
    """A KafkaTopic for each topic of the registry."""
    wanted = wanted_topics(TopicNames(), replication_factor=REPLICAS_OF_A_CLUSTER, partitions=None)
    return [
        {
            "apiVersion": STRIMZI,
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name},
            "spec": {
                "partitions": topic.partitions,
                "replicas": topic.replication_factor,
                "config": dict(topic.config),
            },
        }
        for topic in wanted
    ]


def users() -> list[Manifest]:
    """A KafkaUser with a password for each identity of acls.toml, with its rules and no others."""
    rules = sorted((acl for acl in acls.read() if acl.principal not in EXAMPLES), key=lambda acl: acl.principal)
    return [
        {
            "apiVersion": STRIMZI,
            "kind": "KafkaUser",
            "metadata": {"name": principal},
            "spec": {
                "authentication": {"type": "scram-sha-512"},
                "authorization": {"type": "simple", "acls": [_rule(acl) for acl in of_principal]},
            },
        }
        for principal, of_principal in groupby(rules, key=lambda acl: acl.principal)
    ]


def _rule(acl: acls.Acl) -> Manifest:
    resource = {"type": RESOURCES[acl.resource], "name": acl.name, "patternType": PATTERNS[acl.pattern]}
    return {"resource": resource, "operations": list(acl.operations)}


def alert_rules() -> list[Manifest]:
    """One PrometheusRule with the groups of all files."""
    files = sorted(RULES.glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "ringover-events"},
            "spec": {"groups": groups},
        }
    ]


def rendered(source: str, manifests: Iterable[Manifest]) -> str:
    """The manifests as one file."""
    return HEADER.format(source=source) + yaml.safe_dump_all(manifests, sort_keys=False, width=120)


def files() -> dict[Path, str]:
    """Every generated file with what belongs into it."""
    return {
        DIRECTORY / "strimzi" / "topics.yaml": rendered("schemas/topics.py", topics()),
        DIRECTORY / "strimzi" / "users.yaml": rendered("deploy/kafka/acls.toml", users()),
        DIRECTORY / "components" / "monitoring" / "rules.yaml": rendered("deploy/observability/rules", alert_rules()),
    }


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(DIRECTORY.parents[1])}\n")


if __name__ == "__main__":
    main()
