"""Every answer of the contract, from a real server on a loopback port."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from runtime.errors import PublishError
from schemas.dead_letter import DeadLetter
from schemas.events import ENDPOINTS
from schemas.headers import RawHeaders
from tests.unit.ingress.serving import (
    BODY,
    STARTED,
    STARTED_PATH,
    TOKEN,
    Serving,
    serving,
    signature,
    signed,
)

REQUEST_ID = "11111111-2222-4333-8444-5555555555aA"


@pytest.fixture
async def server() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    client: aiohttp.ClientSession, server: Serving, body: bytes = BODY, headers: Any = None, path: str = STARTED_PATH
) -> tuple[aiohttp.ClientResponse, Any]:
    headers = signed(body) if headers is None else headers
    async with client.post(server.url + path, data=body, headers=headers) as response:
        return response, await response.json(content_type=None)


def assert_problem(response: aiohttp.ClientResponse, document: Any, status: int, code: str) -> None:
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(document) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (document["type"], document["status"], document["code"]) == ("about:blank", status, code)
    assert document["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(("slug", "event_type"), ENDPOINTS.items())
async def test_webhook_is_stored_then_answered_202(
    client: aiohttp.ClientSession, server: Serving, slug: str, event_type: str
) -> None:
    body = json.dumps(STARTED | {"event": event_type, "event_id": "evt-1", "recording": {"id": "rec"}}).encode()

    response, answer = await post(client, server, body, path=f"/wh/ringover/{slug}")

    key = f"ringover:{event_type}:ro_call_123" + (":rec" if slug == "recording-ready" else "")
    assert response.status == 202
    assert response.headers["Content-Type"] == "application/json"
    assert answer == {
        "status": "accepted",
        "request_id": response.headers["X-Request-Id"],
        "event_id": "evt-1",
        "idempotency_key": key,
    }
    [(_, record_key, value, headers)] = server.raw
    assert (record_key, value) == (b"ro_call_123", body)
    decoded = RawHeaders.decode(headers)
    assert (decoded.endpoint, decoded.auth_scheme, decoded.auth_key_id) == (slug, "hmac", "key-1")
    assert decoded.signature == signature(body)
    assert decoded.request_id == answer["request_id"]
    assert server.counted("ringover_http_requests_total", endpoint=slug, code="202") == 1


async def test_bearer_token_is_recorded_without_signature(client: aiohttp.ClientSession, server: Serving) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8", "Authorization": f"bearer {TOKEN}"}

    response, _ = await post(client, server, headers=headers)

    decoded = RawHeaders.decode(server.raw[0][3])
    assert response.status == 202
    assert (decoded.auth_scheme, decoded.auth_key_id, decoded.signature) == ("bearer", "token-1", None)
    assert decoded.content_type == "Application/JSON; charset=utf-8"


async def test_request_id_is_echoed_when_it_is_a_uuid(client: aiohttp.ClientSession, server: Serving) -> None:
    response, answer = await post(client, server, headers=signed(more={"X-Request-Id": REQUEST_ID}))

    assert response.headers["X-Request-Id"] == answer["request_id"] == REQUEST_ID
    assert RawHeaders.decode(server.raw[0][3]).request_id == REQUEST_ID


@pytest.mark.parametrize("given", ["", "42", REQUEST_ID[:-1], REQUEST_ID.replace("-", ""), f"{{{REQUEST_ID}}}"])
async def test_other_request_id_is_replaced_not_refused(
    client: aiohttp.ClientSession, server: Serving, given: str
) -> None:
    response, answer = await post(client, server, headers=signed(more={"X-Request-Id": given}))

    assert response.status == 202
    assert str(uuid.UUID(answer["request_id"])) == answer["request_id"] != given


async def test_traceparent_is_stored_only_when_valid(client: aiohttp.ClientSession, server: Serving) -> None:
    valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    await post(client, server, headers=signed(more={"traceparent": valid}))
    await post(client, server, headers=signed(more={"traceparent": "garbage"}))

    assert [RawHeaders.decode(record[3]).traceparent for record in server.raw] == [valid, None]


async def test_absurd_content_type_parameters_are_not_stored(client: aiohttp.ClientSession, server: Serving) -> None:
    headers = signed() | {"Content-Type": "application/json; a=" + "x" * 5000}

    response, _ = await post(client, server, headers=headers)

    assert response.status == 202
    assert RawHeaders.decode(server.raw[0][3]).content_type == "application/json"


JSON_TYPE = ("Content-Type", "application/json")
RIGHT_TOKEN = ("Authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "credentials_missing"),
        ([("X-Ringover-Signature", signature(BODY, b"wrong"))], "signature_wrong"),
        ([("X-Ringover-Signature", signature(BODY + b" "))], "signature_wrong"),
        ([("X-Ringover-Signature", "")], "signature_wrong"),
        (
            [("X-Ringover-Signature", signature(BODY, b"wrong")), RIGHT_TOKEN],
            "signature_wrong",
        ),
        ([("X-Ringover-Signature", signature(BODY))] * 2, "signature_repeated"),
        ([("Authorization", "Bearer wrong")], "token_wrong"),
        ([("Authorization", f"Basic {TOKEN}")], "token_wrong"),
        ([RIGHT_TOKEN] * 2, "authorization_repeated"),
    ],
)
async def test_unauthenticated_webhook_is_401_and_not_stored(
    client: aiohttp.ClientSession, server: Serving, headers: list[tuple[str, str]], code: str
) -> None:
    response, problem = await post(client, server, headers=CIMultiDict([JSON_TYPE, *headers]))

    assert_problem(response, problem, 401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert server.nothing_stored
    assert server.counted("ringover_webhook_refused_total", code=code) == 1


async def test_unauthenticated_body_is_not_parsed(client: aiohttp.ClientSession, server: Serving) -> None:
    response, problem = await post(client, server, b"not json", headers={"Content-Type": "application/json"})

    assert_problem(response, problem, 401, "credentials_missing")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"not json", "not_json"),
        (b"[" * 5000, "not_json"),
        (b'{"call": {"id": "\\ud800"}}', "not_json"),
        (b'{"call": {"id": "\xff\xfe"}}', "not_json"),
        (b"[]", "not_an_object"),
        (b"{}", "call_id_unusable"),
        (b'{"call": {"id": 1}}', "call_id_unusable"),
        (b'{"call": {"id": ""}}', "call_id_unusable"),
        (b'{"call": {"id": "a\\u0000"}}', "call_id_unusable"),
        (b'{"call": {"id": "' + b"x" * 9000 + b'"}}', "call_id_unusable"),
    ],
)
async def test_authenticated_body_without_a_place_is_a_dead_letter(
    client: aiohttp.ClientSession, server: Serving, body: bytes, code: str
) -> None:
    response, answer = await post(client, server, body)

    [(_, key, value, headers)] = server.dead_letters
    letter = DeadLetter.decode(headers)
    assert response.status == 202
    assert answer == {
        "status": "dead_lettered",
        "request_id": response.headers["X-Request-Id"],
        "event_id": None,
        "idempotency_key": None,
        "reason": {"code": code, "message": letter.reason.message},
    }
    assert (key, value, letter.reason.code, letter.origin) == (None, body, code, None)
    assert RawHeaders.decode(letter.original_headers).request_id == answer["request_id"]
    assert not server.raw
    assert server.counted("ringover_ingress_dead_letters_total", code=code) == 1


async def test_event_of_another_endpoint_is_stored_for_the_processor(
    client: aiohttp.ClientSession, server: Serving
) -> None:
    response, answer = await post(client, server, path="/wh/ringover/call-ended")

    assert response.status == 202
    assert (answer["status"], answer["event_id"], answer["idempotency_key"]) == ("accepted", None, None)
    assert len(server.raw) == 1


@pytest.mark.parametrize("path", ["/", "/wh/ringover/", "/wh/ringover/call-started/", "/wh/ringover/call-transferred"])
async def test_unknown_path_is_404(client: aiohttp.ClientSession, server: Serving, path: str) -> None:
    assert_problem(*await post(client, server, path=path), 404, "not_found")
    assert server.nothing_stored
    assert server.counted("ringover_http_requests_total", endpoint="other", code="404") == 1


async def test_query_is_ignored(client: aiohttp.ClientSession, server: Serving) -> None:
    response, _ = await post(client, server, path=f"{STARTED_PATH}?source=test")

    assert response.status == 202


async def test_a_byte_order_mark_is_signed_and_stored_and_not_judged(
    client: aiohttp.ClientSession, server: Serving
) -> None:
    body = b"\xef\xbb\xbf" + BODY

    response, answer = await post(client, server, body)
    refused, problem = await post(client, server, body, signed(BODY))

    assert (response.status, answer["status"]) == (202, "accepted")
    assert answer["idempotency_key"] == "ringover:call.started:ro_call_123"
    assert_problem(refused, problem, 401, "signature_wrong")
    [(_, key, value, _)] = server.raw
    assert (key, value) == (b"ro_call_123", body)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_method_is_405(client: aiohttp.ClientSession, server: Serving, method: str) -> None:
    async with client.request(method, server.url + STARTED_PATH) as response:
        assert_problem(response, await response.json(content_type=None), 405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"


async def test_head_is_405_without_a_body(client: aiohttp.ClientSession, server: Serving) -> None:
    async with client.head(server.url + STARTED_PATH) as response:
        assert (response.status, await response.read()) == (405, b"")


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonp", "application/x-json", "json", ""])
async def test_other_content_type_is_415(client: aiohttp.ClientSession, server: Serving, content_type: str) -> None:
    headers = signed() | {"Content-Type": content_type}

    assert_problem(*await post(client, server, headers=headers), 415, "content_type_unsupported")
    assert server.nothing_stored


CODINGS = ["gzip", "GZIP", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "aes128gcm", "exi"]
NOT_CHARSETS = [
    "zlib",
    "zip",
    "bz2",
    "base64",
    "hex",
    "rot13",
    "uu",
    "quopri",
    "mbcs",
    "utf-8/",
    "utf 8",
    "chunked",
    "é",
]
LISTS = ["identity, gzip", "gzip, identity", "utf-8, br", ",gzip", "gzip;q=0"]


@pytest.mark.parametrize(
    "encoding",
    ["", "identity", "Identity", "utf-8", "UTF-8", "utf8", "us-ascii", "ISO-8859-1", "windows-1252", "latin1"],
)
async def test_content_encoding_that_means_none_is_taken(
    client: aiohttp.ClientSession, server: Serving, encoding: str
) -> None:
    for written in (encoding, f" {encoding}\t", f"identity , {encoding}", f"{encoding},"):
        response, _ = await post(client, server, headers=signed(more={"Content-Encoding": written}))
        assert response.status == 202, written

    assert [value for _, _, value, _ in server.raw] == [BODY] * 4


async def test_a_second_content_encoding_counts_too(client: aiohttp.ClientSession, server: Serving) -> None:
    headers = CIMultiDict(signed())
    headers.extend([("Content-Encoding", "identity"), ("Content-Encoding", "gzip")])

    assert_problem(*await post(client, server, headers=headers), 415, "content_encoding_unsupported")


@pytest.mark.parametrize("encoding", [*CODINGS, *NOT_CHARSETS, *LISTS, "nonsense", "x" * 4000])
async def test_content_encoding_is_415(client: aiohttp.ClientSession, server: Serving, encoding: str) -> None:
    headers = signed(more={"Content-Encoding": encoding})

    response, problem = await post(client, server, headers=headers)

    assert_problem(response, problem, 415, "content_encoding_unsupported")
    assert server.nothing_stored


async def test_body_at_the_limit_is_taken_and_one_more_byte_is_413(
    client: aiohttp.ClientSession, server: Serving
) -> None:
    fitting = BODY + b" " * (10_000 - len(BODY))

    response, _ = await post(client, server, fitting)
    assert response.status == 202
    assert_problem(*await post(client, server, fitting + b" "), 413, "body_too_large")
    assert len(server.raw) == 1


async def test_webhook_that_cannot_be_stored_is_503(client: aiohttp.ClientSession, server: Serving) -> None:
    server.publisher.fail = PublishError("the broker is away")

    response, problem = await post(client, server)

    assert_problem(response, problem, 503, "not_stored")
    assert response.headers["Retry-After"] == "5"
    assert server.nothing_stored


async def test_fault_of_ours_is_500_never_4xx(client: aiohttp.ClientSession, server: Serving) -> None:
    server.publisher.fail = ZeroDivisionError("a bug")

    response, problem = await post(client, server)

    assert_problem(response, problem, 500, "internal")
    assert "a bug" not in str(problem)


async def test_answers_do_not_tell_versions(client: aiohttp.ClientSession, server: Serving) -> None:
    for headers in (signed(), {"Content-Type": "application/json"}):
        response, _ = await post(client, server, headers=headers)
        assert response.headers["Server"] == "ringover-ingress"


async def test_connection_serves_many_webhooks(client: aiohttp.ClientSession, server: Serving) -> None:
    for _ in range(3):
        await post(client, server)
        await post(client, server, headers={"Content-Type": "application/json"})

    assert len(server.raw) == 3
    assert server.counted("ringover_http_inflight") == 0


async def test_credentials_in_use_are_counted_by_id(client: aiohttp.ClientSession, server: Serving) -> None:
    bearer = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    for headers in (signed(), signed(), bearer, {**bearer, "X-Ringover-Signature": "0" * 64}):
        await post(client, server, headers=headers)

    counts = [server.counted("ringover_webhook_authenticated_total", key_id=name) for name in ("key-1", "token-1")]
    assert counts == [2, 1]
