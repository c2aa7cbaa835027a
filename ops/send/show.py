"""Shows the ingress's answers as a table."""

from collections.abc import Iterable

from rich.table import Table

from ops.kit.output import table
from ops.send.webhook import WebhookAnswer

SHORT_ID = 12  # characters of an event id that people compare


def answers_table(answers: Iterable[WebhookAnswer], *, title: str = "") -> Table:
    """Show one row per webhook: what was answered, and under which identity it is known."""
    columns = ("webhook", "HTTP", "status", "event id", "idempotency key or reason")
    rows = [
        (
            answer.webhook.name,
            answer.http_status,
            answer.status,
            (answer.event_id or "-")[:SHORT_ID],
            answer.reason or answer.idempotency_key,
        )
        for answer in answers
    ]
    return table(title, columns, rows, right=("HTTP",))
