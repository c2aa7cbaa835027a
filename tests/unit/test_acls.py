"""The ACL file: complete, least, and the commands that it is printed as."""

import pytest

from deploy.kafka.acls import Acl, command, main, read
from schemas.topics import TOPICS

SERVICES = {"ringover-ingress", "ringover-processor", "ringover-reader", "ringover-operator", "billing"}


def test_every_rule_says_why_and_names_what_exists() -> None:
    topics = {f"p.{topic.name}" for topic in TOPICS}

    for acl in read(prefix="p.", group="g"):
        assert acl.why
        assert acl.resource in {"topic", "group", "transactional-id"}
        assert acl.resource != "topic" or acl.name in topics or (acl.pattern, acl.name) == ("prefixed", "p.ringover.")


def test_no_service_may_make_change_or_delete() -> None:
    found = {operation for acl in read() if acl.principal in SERVICES for operation in acl.operations}

    assert found == {"Read", "Write", "Describe", "DescribeConfigs"}


def test_a_rule_becomes_a_command_for_a_shell() -> None:
    acl = Acl("it's", "transactional-id", "g|", ("Write",), "why", "prefixed")

    assert command(acl).endswith(
        "--add '--allow-principal=User:it'\"'\"'s' --operation=Write '--transactional-id=g|' "
        "--resource-pattern-type=prefixed"
    )


def test_main_prints_a_reason_and_a_command_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--prefix", "p.", "--group", "g"])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(read())
    assert lines[0].startswith("# ringover-ingress: ")
    assert "--topic=p.ringover.raw.v1" in lines[1]
