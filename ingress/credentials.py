"""Reloads credentials while the process runs: new ones in, old ones out, and not one request refused for it."""

from collections.abc import Callable
from pathlib import Path

from pydantic_settings.exceptions import SettingsError

from ingress.dialects.specification import Authenticator
from ingress.metrics import IngressMetrics
from ingress.settings import IngressSettings
from runtime.logs import logger
from runtime.settings import reload, secret_files
from runtime.watch import watch_files

CREDENTIALS = ("ingress_hmac_secrets", "ingress_bearer_tokens")

log = logger(__name__)


def authenticator_of(settings: IngressSettings) -> Authenticator:
    """Make the authenticator for the credentials in these settings."""
    return Authenticator(secrets=settings.secrets, tokens=settings.tokens)


class Credentials:
    """Reads the credentials again and hands each usable set to `use`; an unusable one leaves the old ones active."""

    def __init__(self, use: Callable[[Authenticator], None], metrics: IngressMetrics) -> None:
        self._use = use
        self._metrics = metrics

    async def watch(self) -> None:
        """Follow the files that hold credentials, for ever."""
        await watch_files(credential_files(), self.reload)

    def reload(self) -> None:
        """Take over what the files hold now; never raises for what they hold."""
        try:
            settings = reload(IngressSettings)
        except SettingsError as error:
            self._refuse(str(error))
            return
        self._use(authenticator_of(settings))
        self._metrics.credentials_reloaded.labels("loaded").inc()
        log.info("credentials.loaded", key_ids=[one.key_id for one in (*settings.secrets, *settings.tokens)])

    def _refuse(self, reason: str) -> None:
        self._metrics.credentials_reloaded.labels("refused").inc()
        log.error("credentials.refused", reason=reason, kept="the credentials before the change")


def credential_files() -> list[Path]:
    """List the files that hold credentials; none when they are given as variables."""
    return secret_files(IngressSettings, CREDENTIALS)
