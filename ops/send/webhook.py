"""One webhook, what authenticates it, and what the ingress answered: pure. `ops.send.run` posts it."""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook to post; `name` is what the tables call it."""

    name: str
    endpoint: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ingress answered; `body` is its JSON, empty if it sent none."""

    webhook: Webhook
    http_status: int
    body: Mapping[str, object]

    @property
    def accepted(self) -> bool:
        """Whether the ingress has stored it, in the raw log or as a dead letter."""
        return self.http_status == ACCEPTED

    @property
    def status(self) -> str:
        """`accepted` or `dead_lettered`; for a refusal the problem's code."""
        return str(self.body.get("status" if self.accepted else "code", "-"))

    @property
    def event_id(self) -> str | None:
        """The event id, if it has one."""
        return _text(self.body.get("event_id"))

    @property
    def idempotency_key(self) -> str | None:
        """The idempotency key, if it has one."""
        return _text(self.body.get("idempotency_key"))

    @property
    def reason(self) -> str | None:
        """Why it is a dead letter or was refused, as a code."""
        reason = self.body.get("reason")
        return _text(reason.get("code")) if isinstance(reason, Mapping) else None


class Credential(Protocol):
    """What authenticates a body: the headers to send with it."""

    def headers(self, body: bytes) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class HmacSecret:
    """Signs the raw bytes with HMAC-SHA256 (contract: Ingress)."""

    secret: str

    def headers(self, body: bytes) -> dict[str, str]:
        """The signature, hex."""
        return {"X-Ringover-Signature": hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}


@dataclass(frozen=True, slots=True)
class BearerToken:
    """Sends a token."""

    token: str

    def headers(self, body: bytes) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {self.token}"}


def request_headers(body: bytes, credential: Credential) -> dict[str, str]:
    """All headers of one webhook, with a new request id."""
    return {
        "Content-Type": "application/json",
        "X-Request-Id": str(uuid.uuid4()),
        **credential.headers(body),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
