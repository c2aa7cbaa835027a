"""What the description promises, tried on a real ingress with generated requests: schemathesis."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingress.openapi import document
from schemas.events import ENDPOINTS, PATH_PREFIX
from schemas.topics import TopicNames
from tests.support.ports import stable_port
from tests.support.processes import Programs

EXAMPLES = 25
TOKEN = "a-token-of-the-tests"
CREDENTIALS = {"authentic": f"Bearer {TOKEN}", "stranger": "Bearer a-guess"}


@pytest.fixture
async def url(kafka_bootstrap_servers: str, topics: TopicNames, tmp_path: Path) -> AsyncIterator[str]:
    port = stable_port()
    programs = Programs(
        {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": topics.prefix,
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(port),
            "INGRESS_BEARER_TOKENS": f"test:{TOKEN}",
        },
        tmp_path,
    )
    await programs.ingress().ready()
    yield f"http://127.0.0.1:{port}"
    programs.close()


def test_generated_requests_get_described_answers(url: str) -> None:
    import schemathesis  # noqa: PLC0415 - takes a second, which every collection of the tests would pay
    from schemathesis import GenerationMode  # noqa: PLC0415
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415
    from schemathesis.specs.openapi import checks  # noqa: PLC0415

    described = schemathesis.openapi.from_dict(document())
    promises = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]
    statuses: dict[str, Counter[int]] = {sender: Counter() for sender in CREDENTIALS}

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data())
    def try_one(slug: str, mode: GenerationMode, sender: str, data: st.DataObject) -> None:
        case = data.draw(described[PATH_PREFIX + slug]["POST"].as_strategy(generation_mode=mode))
        # The generated headers may hold credentials of their own; the sender's are what this is about.
        for name in ("X-Ringover-Signature", "Authorization"):
            case.headers.pop(name, None)
        response = case.call(base_url=url, headers={"Authorization": CREDENTIALS[sender]})
        case.validate_response(response, checks=promises)
        statuses[sender][response.status_code] += 1

    for slug in ENDPOINTS:
        for mode in GenerationMode:
            for sender in CREDENTIALS:
                try_one(slug, mode, sender)

    assert statuses["authentic"][202] > EXAMPLES
    assert statuses["stranger"][401] > EXAMPLES
    assert statuses["stranger"][202] == statuses["authentic"][401] == 0
