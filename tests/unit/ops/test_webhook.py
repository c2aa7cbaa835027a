"""How webhooks are signed, and how answers are read."""

import hashlib
import hmac
import uuid

import orjson
import pytest
from pydantic import SecretStr

from ops.kit.errors import UsageError
from ops.kit.output import json_bytes
from ops.kit.settings import first_value
from ops.send.samples import specification
from ops.send.show import answers_table
from ops.send.webhook import BearerToken, HmacSecret, Webhook, WebhookAnswer, request_headers

WEBHOOK = Webhook("started", "call-started", specification("call-started").body)


def test_signature_is_hmac_sha256_in_hex() -> None:
    # RFC 4231, test case 2
    headers = HmacSecret("Jefe").headers(b"what do ya want for nothing?")

    assert headers == {"X-Ringover-Signature": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"}


def test_a_sample_is_signed_over_its_raw_bytes() -> None:
    headers = request_headers(WEBHOOK.body, HmacSecret("s3cret"))

    assert headers["X-Ringover-Signature"] == hmac.new(b"s3cret", WEBHOOK.body, hashlib.sha256).hexdigest()
    assert headers["Content-Type"] == "application/json"
    assert str(uuid.UUID(headers["X-Request-Id"])) == headers["X-Request-Id"]
    assert "Authorization" not in headers


def test_a_token_is_sent_instead_of_a_signature() -> None:
    headers = request_headers(b"{}", BearerToken("t0ken"))

    assert headers["Authorization"] == "Bearer t0ken"
    assert "X-Ringover-Signature" not in headers


@pytest.mark.parametrize("text", ["new:abc,old:def", " new:abc ", "new:abc\nold:def"])
def test_the_first_credential_is_used(text: str) -> None:
    assert first_value(SecretStr(text), "INGRESS_HMAC_SECRETS") == "abc"


@pytest.mark.parametrize("setting", [None, SecretStr(""), SecretStr("value-without-id"), SecretStr("id:")])
def test_a_missing_credential_names_the_variable_and_no_value(setting: SecretStr | None) -> None:
    with pytest.raises(UsageError) as caught:
        first_value(setting, "INGRESS_HMAC_SECRETS")

    assert str(caught.value) == "INGRESS_HMAC_SECRETS is needed as `id:value`"


def test_a_secret_in_quotes_is_refused_as_the_ingress_refuses_it() -> None:
    with pytest.raises(UsageError) as caught:
        first_value(SecretStr('new:"abc",old:def'), "INGRESS_HMAC_SECRETS")

    assert "INGRESS_HMAC_SECRETS: the value of new is in quotes" in str(caught.value)
    assert "abc" not in str(caught.value)


def test_an_accepted_answer_shows_its_identity() -> None:
    answer = WebhookAnswer(WEBHOOK, 202, {"status": "accepted", "event_id": "e", "idempotency_key": "k"})

    assert (answer.accepted, answer.status, answer.event_id, answer.idempotency_key) == (True, "accepted", "e", "k")


def test_a_dead_letter_is_accepted_and_shows_its_reason() -> None:
    answer = WebhookAnswer(WEBHOOK, 202, {"status": "dead_lettered", "reason": {"code": "not_json"}, "event_id": None})

    assert (answer.accepted, answer.status, answer.reason, answer.event_id) == (True, "dead_lettered", "not_json", None)


def test_a_refusal_shows_the_code_of_its_problem() -> None:
    answer = WebhookAnswer(WEBHOOK, 401, {"code": "signature_wrong"})

    assert (answer.accepted, answer.status) == (False, "signature_wrong")
    assert WebhookAnswer(WEBHOOK, 502, {}).status == "-"


def test_fields_of_the_json_of_an_answer() -> None:
    assert orjson.loads(json_bytes([WebhookAnswer(WEBHOOK, 401, {"code": "signature_wrong"})])) == [
        {"webhook": "started", "http_status": 401, "answer": {"code": "signature_wrong"}}
    ]


def test_the_table_has_one_row_per_answer() -> None:
    assert answers_table([WebhookAnswer(WEBHOOK, 401, {}), WebhookAnswer(WEBHOOK, 202, {})]).row_count == 2
