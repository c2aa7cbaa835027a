"""Posts webhooks to an ingress, as Ringover would."""

import json
from collections.abc import Iterable, Mapping

import aiohttp

from ops.kit.errors import UnreachableError
from ops.send.webhook import Webhook, WebhookAnswer, WebhookCredential, request_headers
from schemas.events import PATH_PREFIX

TIMEOUT_SECONDS = 30


async def post(
    session: aiohttp.ClientSession, url: str, webhook: Webhook, credential: WebhookCredential
) -> WebhookAnswer:
    """Post one webhook; a refusal is an answer like any other.

    Raises:
        UnreachableError: no HTTP answer came.
    """
    target = f"{url.rstrip('/')}{PATH_PREFIX}{webhook.endpoint}"
    try:
        async with session.post(target, data=webhook.body, headers=request_headers(webhook.body, credential)) as answer:
            return WebhookAnswer(webhook, answer.status, _json_object(await answer.read()))
    except TimeoutError as error:
        raise UnreachableError(f"no answer from {url} within {TIMEOUT_SECONDS} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise UnreachableError(f"no answer from {url}: {str(error) or type(error).__name__}") from error


async def post_all(url: str, webhooks: Iterable[Webhook], credential: WebhookCredential) -> list[WebhookAnswer]:
    """Post webhooks one after the other over one connection.

    Raises:
        UnreachableError: no HTTP answer came.
    """
    async with new_session() as session:
        return [await post(session, url, webhook, credential) for webhook in webhooks]


def new_session(*, connections: int = 1) -> aiohttp.ClientSession:
    """Make a session that keeps up to `connections` connections alive."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
    )


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
