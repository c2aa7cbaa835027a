"""The ACLs of `acls.toml` as commands: `python deploy/kafka/acls.py [--prefix P] [--group G] | sh`.

The commands need `kafka-acls.sh` on the PATH, the brokers in KAFKA_BOOTSTRAP_SERVERS and the administrator's client
properties in the file named by ADMIN_PROPERTIES. Adding a rule that is there changes nothing; none is ever removed.
"""

import argparse
import shlex
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("acls.toml")
DEFAULT_GROUP = "ringover-normalizer"  # PROCESSOR_GROUP


@dataclass(frozen=True, slots=True)
class Acl:
    """One rule; `pattern` is literal or prefixed, `resource` is an option of kafka-acls.sh without its dashes."""

    principal: str
    resource: str
    name: str
    operations: tuple[str, ...]
    why: str
    pattern: str = "literal"


def read(*, prefix: str = "", group: str = DEFAULT_GROUP) -> tuple[Acl, ...]:
    """The rules for one environment."""
    rules = tomllib.loads(FILE.read_text(encoding="utf-8"))["acl"]
    return tuple(
        Acl(**{**rule, "name": rule["name"].format(prefix=prefix, group=group), "operations": (*rule["operations"],)})
        for rule in rules
    )


def command(acl: Acl) -> str:
    """One line for a shell."""
    words = [f"--allow-principal=User:{acl.principal}"]
    words += [f"--operation={operation}" for operation in acl.operations]
    words += [f"--{acl.resource}={acl.name}", f"--resource-pattern-type={acl.pattern}"]
    rest = " ".join(shlex.quote(word) for word in words)
    return (
        f'kafka-acls.sh --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" --command-config "$ADMIN_PROPERTIES" --add {rest}'
    )


def main(arguments: Sequence[str]) -> None:
    """Print the commands."""
    parser = argparse.ArgumentParser(description="Prints the commands that apply acls.toml.")
    parser.add_argument("--prefix", default="", help="KAFKA_TOPIC_PREFIX")
    parser.add_argument("--group", default=DEFAULT_GROUP, help="PROCESSOR_GROUP")
    chosen = parser.parse_args(arguments)
    for acl in read(prefix=chosen.prefix, group=chosen.group):
        sys.stdout.write(f"# {acl.principal}: {acl.why}\n{command(acl)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
