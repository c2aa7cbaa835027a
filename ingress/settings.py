"""Reads the settings of the ingress, and the credentials written in them."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ingress.addresses import AddressPolicy, parse_networks
from ingress.authenticate import MAX_TOKEN_CHARACTERS, Credential
from runtime.settings import KafkaSettings, LogSettings, in_quotes
from schemas.topics import MAX_BODY_BYTES

_SEPARATOR = re.compile(r"[,\r\n]")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # what a header value can hold in one piece (RFC 9110 section 5.5)


def _credentials(text: SecretStr) -> list[Credential]:
    """Read `id:value` entries separated by commas or line ends.

    Raises:
        ValueError: an entry is not one; the message names it by position or id and never shows a value.
    """
    entries = [entry.strip() for entry in _SEPARATOR.split(text.get_secret_value())]
    credentials = [_credential(entry, number) for number, entry in enumerate(entries, 1) if entry]
    _refuse_repeated_ids(credentials)
    return credentials


def _credential(entry: str, number: int) -> Credential:
    key_id, colon, value = entry.partition(":")
    key_id, value = key_id.strip(), value.strip()
    if not colon:
        raise ValueError(f"entry {number} is not `id:value`")
    if _ID.fullmatch(key_id) is None:
        raise ValueError(f"the id of entry {number} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    if not value or not value.isprintable():
        raise ValueError(f"the value of {key_id} is empty or contains control characters")
    if in_quotes(value):
        raise ValueError(f"the value of {key_id} is in quotes, which would be part of it: leave them out")
    if len(value) > MAX_TOKEN_CHARACTERS:
        raise ValueError(f"the value of {key_id} is longer than {MAX_TOKEN_CHARACTERS} characters")
    return Credential(key_id, value.encode())


def _refuse_repeated_ids(credentials: list[Credential]) -> None:
    seen: set[str] = set()
    for credential in credentials:
        if credential.key_id in seen:
            raise ValueError(f"the id {credential.key_id} is used more than once")
        seen.add(credential.key_id)


def _check_secrets(text: SecretStr) -> SecretStr:
    _credentials(text)
    return text


def _check_tokens(text: SecretStr) -> SecretStr:
    for credential in _credentials(text):
        if _TOKEN.fullmatch(credential.value) is None:
            raise ValueError(f"the value of {credential.key_id} cannot be sent in a header: use ASCII without spaces")
    return text


def _check_networks(text: str) -> str:
    parse_networks(text)
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Secrets = Annotated[SecretStr, AfterValidator(_check_secrets)]
Tokens = Annotated[SecretStr, AfterValidator(_check_tokens)]
Networks = Annotated[str, AfterValidator(_check_networks)]


class IngressSettings(KafkaSettings, LogSettings):
    """Holds everything that can be set about the ingress."""

    # All interfaces: the process runs in a container, where the published port decides who reaches it.
    ingress_host: str = Field(default="0.0.0.0", description="Address to listen on, for both ports")  # noqa: S104
    ingress_port: Port = Field(default=8080, description="Port of the webhooks")
    ingress_reuse_port: bool = Field(
        default=False, description="Share that port with other ingresses that have this setting (SO_REUSEPORT)"
    )
    ingress_admin_port: Port = Field(default=9080, description="Port of /livez, /readyz and /metrics")
    ingress_hmac_secrets: Secrets = Field(
        default=SecretStr(""), description="Secrets that sign bodies: `id:value` separated by commas"
    )
    ingress_bearer_tokens: Tokens = Field(
        default=SecretStr(""), description="Bearer tokens: `id:value` separated by commas"
    )
    ingress_allowed_cidrs: Networks = Field(
        default="", description="Networks that may send webhooks, separated by commas; default: all"
    )
    ingress_trusted_proxies: Networks = Field(
        default="", description="Networks of proxies whose X-Forwarded-For tells the sender's address"
    )
    ingress_tls_cert_file: Path | None = Field(
        default=None, description="Certificate with its chain (PEM): the webhooks' port then speaks TLS"
    )
    ingress_tls_key_file: Path | None = Field(default=None, description="Key of that certificate (PEM)")
    ingress_max_body_bytes: Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)] = Field(
        default=1024 * 1024, description="Largest body taken; beyond it the answer is 413"
    )
    ingress_request_timeout_seconds: Seconds = Field(
        default=10, description="For a request to arrive, from the first byte of its head to the last of its body"
    )
    ingress_publish_timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = Field(
        default=8, description="For the brokers to acknowledge a record; beyond it the answer is 503"
    )
    ingress_max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1024,
        description="Authenticated webhooks being stored at once; beyond it the answer is 503",
    )
    ingress_max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10_000,
        description="Open connections; beyond it the one that has waited longest for its sender is closed",
    )
    ingress_max_buffered_bytes: Annotated[int, Field(ge=1024 * 1024)] = Field(
        default=64 * 1024 * 1024,
        description="Of requests not yet answered; before it the slowest senders, beyond it all larger bodies get 503",
    )
    ingress_keepalive_seconds: Seconds = Field(
        default=75, description="For an idle connection; longer than the proxy's in front, or it meets closed ones"
    )
    ingress_leave_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        default=1, description="To go on after SIGTERM, unready, until senders go elsewhere"
    )
    ingress_drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=15, description="To finish what is in flight after SIGTERM"
    )
    ingress_spool_dir: Path | None = Field(
        default=None,
        description="Directory, on a disk that survives, for what Kafka does not take in time. None: no spool, 503",
    )
    ingress_spool_after_seconds: Annotated[float, Field(ge=0.05, le=600)] = Field(
        default=1, description="Wait for Kafka before a record goes to the spool"
    )
    ingress_spool_max_bytes: Annotated[int, Field(ge=1)] = Field(
        default=1024**3, description="Bodies, keys and headers that may wait in the spool; beyond it the answer is 503"
    )
    ingress_spool_max_age_seconds: Annotated[float, Field(gt=0)] = Field(
        default=86400, description="Age of the oldest spooled record beyond which new ones are answered 503"
    )

    @property
    def secrets(self) -> list[Credential]:
        return _credentials(self.ingress_hmac_secrets)

    @property
    def tokens(self) -> list[Credential]:
        return _credentials(self.ingress_bearer_tokens)

    @property
    def addresses(self) -> AddressPolicy:
        return AddressPolicy(parse_networks(self.ingress_allowed_cidrs), parse_networks(self.ingress_trusted_proxies))

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.ingress_tls_cert_file is None) != (self.ingress_tls_key_file is None):
            raise ValueError("INGRESS_TLS_CERT_FILE and INGRESS_TLS_KEY_FILE belong together: set both or none")
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        credentials = [*self.secrets, *self.tokens]
        if not credentials:
            raise ValueError(
                "INGRESS_HMAC_SECRETS and INGRESS_BEARER_TOKENS are both empty: without one nobody can be authenticated"
            )
        _refuse_repeated_ids(credentials)
        return self
