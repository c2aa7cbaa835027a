"""Answers on the wire: 202 with what became of the webhook, or problem details (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from aiohttp import web

from ingress.accept import Accepted, ToDeadLetter, ToRaw

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-Id"
# In place of aiohttp's, which tells versions.
SERVER_HEADER = {"Server": "ringover-ingress"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal. `close` ends the connection, because what follows on it cannot be trusted or is not wanted."""

    status: HTTPStatus
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    def response(self, request_id: str) -> web.Response:
        """The answer on the wire."""
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        headers = {"Content-Type": PROBLEM_TYPE, REQUEST_ID_HEADER: request_id, **SERVER_HEADER, **self.headers}
        response = web.Response(status=self.status.value, body=orjson.dumps(body), headers=headers)
        if self.close:
            response.force_close()
        return response


def accepted_response(accepted: Accepted, request_id: str) -> web.Response:
    """202: the webhook is durable; for a dead letter the reason says why sending it again would not help."""
    answer: dict[str, object] = {
        "status": "accepted",
        "request_id": request_id,
        "event_id": None,
        "idempotency_key": None,
    }
    match accepted:
        case ToRaw(event_id=event_id, idempotency_key=idempotency_key):
            answer["event_id"] = event_id
            answer["idempotency_key"] = idempotency_key
        case ToDeadLetter(reason=reason):
            answer["status"] = "dead_lettered"
            answer["reason"] = {"code": reason.code.value, "message": reason.message}
    headers = {"Content-Type": JSON_TYPE, REQUEST_ID_HEADER: request_id, **SERVER_HEADER}
    return web.Response(status=HTTPStatus.ACCEPTED, body=orjson.dumps(answer), headers=headers)
