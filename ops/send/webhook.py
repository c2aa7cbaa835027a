"""Models one webhook to post, what authenticates it, and the ingress's answer: pure. `ops.send.run` posts it."""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Webhook:
    """Holds one webhook to post; `name` is what tables and JSON call it."""

    name: str
    endpoint: str
    body: bytes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """Holds what the ingress answered; `answer` is its JSON, empty if it sent none."""

    webhook: Webhook
    http_status: int
    answer: Mapping[str, object]

    @property
    def accepted(self) -> bool:
        """Whether the ingress has stored it, in the raw log or as a dead letter."""
        return self.http_status == ACCEPTED

    @property
    def status(self) -> str:
        """`accepted` or `dead_lettered`; for a refusal the problem's code."""
        return str(self.answer.get("status" if self.accepted else "code", "-"))

    @property
    def event_id(self) -> str | None:
        return _text(self.answer.get("event_id"))

    @property
    def idempotency_key(self) -> str | None:
        return _text(self.answer.get("idempotency_key"))

    @property
    def reason(self) -> str | None:
        """Why it is a dead letter or was refused, as a code."""
        reason = self.answer.get("reason")
        return _text(reason.get("code")) if isinstance(reason, Mapping) else None


@dataclass(frozen=True, slots=True)
class HmacSecret:
    """Signs the raw bytes with HMAC-SHA256 (contract: Ingress)."""

    secret: str

    def headers(self, body: bytes) -> dict[str, str]:
        return {"X-Ringover-Signature": hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}


@dataclass(frozen=True, slots=True)
class BearerToken:
    """Sends a token, whatever the body is."""

    token: str

    def headers(self, _body: bytes) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


WebhookCredential: TypeAlias = HmacSecret | BearerToken


def request_headers(body: bytes, credential: WebhookCredential) -> dict[str, str]:
    """Return all headers of one webhook, with a new request id."""
    own = {"Content-Type": "application/json", "X-Request-Id": str(uuid.uuid4())}
    return own | credential.headers(body)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
