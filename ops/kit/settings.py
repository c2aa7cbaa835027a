"""Defines the settings of commands, beside those that every process shares (runtime.settings)."""

import re

from pydantic import Field, SecretStr

from ops.kit.errors import UsageError
from processors.settings import RawLogSettings
from runtime.settings import DatabaseSettings, Settings, in_quotes

_SEPARATOR = re.compile(r"[,\r\n]")  # as the ingress reads its credentials


class GroupSettings(Settings):
    """Names the processors' consumer group."""

    processor_group: str = Field(default="ringover-normalizer", description="Consumer group of the processors")


class StateSettings(RawLogSettings, DatabaseSettings, GroupSettings):
    """Holds where Kafka and the state table are, and the processors' own names for group and log."""


class OffsetSettings(RawLogSettings, GroupSettings):
    """Holds the same where the state table is needed for the processors' group only."""

    database_url: SecretStr | None = Field(default=None, description="PostgreSQL connection URI of the state table")


class SenderSettings(Settings):
    """Holds what webhooks are signed with: the ingress's own settings, `id:value` separated by commas."""

    ingress_hmac_secrets: SecretStr | None = Field(default=None, description="HMAC secrets, `id:value,...`")
    ingress_bearer_tokens: SecretStr | None = Field(default=None, description="Bearer tokens, `id:value,...`")


def first_value(setting: SecretStr | None, name: str) -> str:
    """The value of the first `id:value` of a setting.

    Raises:
        UsageError: the setting is absent or has no value; the message never shows it.
    """
    text = setting.get_secret_value() if setting is not None else ""
    key_id, _, value = (part.strip() for part in _SEPARATOR.split(text)[0].partition(":"))
    if not value:
        raise UsageError(f"{name} is needed as `id:value`")
    if in_quotes(value):
        raise UsageError(f"{name}: the value of {key_id} is in quotes, which would be part of it: leave them out")
    return value
