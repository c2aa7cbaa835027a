"""`ringover-ops send`: posts signed webhooks, the specification's examples or one's own."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES, EXIT_FAILED, UsageError
from ops.kit.options import OutputOption, choice, reported
from ops.kit.output import OutputFormat, stdout, write_json
from ops.kit.settings import SenderSettings, first_value
from ops.send.run import post_all
from ops.send.samples import specification
from ops.send.show import answers_table
from ops.send.webhook import BearerToken, HmacSecret, Webhook, WebhookCredential
from runtime.settings import load
from schemas.events import ENDPOINTS

app = typer.Typer()


ALL = "all"


@app.command(epilog=EXIT_CODES)
def send(
    *,
    sample: Annotated[str | None, choice((*ENDPOINTS, ALL), "The specification's own example bodies.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A body to send byte for byte; - or nothing reads stdin (with --endpoint).")
    ] = None,
    endpoint: Annotated[str | None, choice(ENDPOINTS, "Where to post --file or stdin.")] = None,
    url: Annotated[str, typer.Option(help="The ingress.")] = "http://127.0.0.1:8080",
    bearer: Annotated[
        bool, typer.Option("--bearer", help="Send the first of INGRESS_BEARER_TOKENS instead of a signature.")
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Post webhooks signed with the first secret of INGRESS_HMAC_SECRETS, and show the answers.

    Exit code 1 if any was refused or the ingress does not answer.
    """
    with reported():
        webhooks = _webhooks(sample, file, endpoint)
        answers = asyncio.run(post_all(url, webhooks, _credential(bearer=bearer)))
    if output is OutputFormat.JSON:
        write_json(answers)
    else:
        stdout().print(answers_table(answers))
    if not all(answer.accepted for answer in answers):
        raise typer.Exit(EXIT_FAILED)


def _webhooks(sample: str | None, file: Path | None, endpoint: str | None) -> list[Webhook]:
    if sample is not None:
        if file is not None or endpoint is not None:
            raise UsageError("--sample goes without --file and --endpoint")
        chosen = list(ENDPOINTS) if sample == ALL else [sample]
        return [Webhook(f"{slug} (specification)", slug, specification(slug).body) for slug in chosen]
    if endpoint is None:
        raise UsageError("give --sample, or --endpoint with --file or a body on stdin")
    if file is None or str(file) == "-":
        return [Webhook("stdin", endpoint, sys.stdin.buffer.read())]
    try:
        return [Webhook(str(file), endpoint, file.read_bytes())]
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error


def _credential(*, bearer: bool) -> WebhookCredential:
    settings = load(SenderSettings)
    if bearer:
        return BearerToken(first_value(settings.ingress_bearer_tokens, "INGRESS_BEARER_TOKENS"))
    return HmacSecret(first_value(settings.ingress_hmac_secrets, "INGRESS_HMAC_SECRETS"))
