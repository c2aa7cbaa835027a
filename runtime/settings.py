"""Reads the settings that processes share from the environment, once at start.

Every setting `NAME` may also be given as `NAME_FILE`, the path of a file that holds the value (a mounted secret);
setting both is refused.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

EXIT_USAGE = 2

QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019")  # straight ones, and those of a word processor
_ESCAPED = "%[0-9A-Fa-f]{2}"
_DATABASE_URL = re.compile(rf"postgres(?:ql)?://(?:(?:[^@/?#\s%]|{_ESCAPED})*@)?(?:[^@\s%]|{_ESCAPED})*")


def in_quotes(text: str) -> bool:
    """Whether quotes enclose a value: `docker --env-file`, systemd and mounted files keep those of an env file."""
    return len(text) > 1 and text[0] + text[-1] in QUOTES


class FileSecretSource(PydanticBaseSettingsSource):
    """Reads `NAME_FILE` for each field that names a file, as container platforms mount secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of the file named by `<FIELD>_FILE`, without surrounding white space.

        Raises:
            SettingsError: the file cannot be read, or the setting is given both ways.
        """
        name = field_name.upper()
        path = os.environ.get(f"{name}_FILE")
        if path is None:
            return None, field_name, False
        if name in os.environ:
            raise SettingsError(f"{name} and {name}_FILE are both set: keep one")
        try:
            # An editor's byte order mark is no part of a password.
            return Path(path).read_text(encoding="utf-8-sig").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_FILE cannot be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                values[key] = value
        return values


class Settings(BaseSettings):
    """Reads environment variables and `_FILE` variables only; unknown ones are someone else's."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - interface
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - interface
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests), then the environment, then files."""
        return init_settings, env_settings, FileSecretSource(settings_cls)

    @field_validator("*", mode="before")
    @classmethod
    def _without_quotes(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and in_quotes(text.strip()):
            raise ValueError("the value is in quotes, which would be part of it: leave them out")
        return value


class KafkaSettings(Settings):
    """Says how to reach Kafka."""

    kafka_bootstrap_servers: str = Field(description="Brokers, `host:port` separated by commas")
    kafka_topic_prefix: str = Field(default="", description="Put before every topic name; isolates environments")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to connect to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism, with a SASL protocol"
    )
    kafka_sasl_username: str | None = Field(default=None, description="SASL user")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="SASL password")
    kafka_ssl_ca_file: Path | None = Field(default=None, description="CA certificates (PEM); default: the system's")
    kafka_ssl_cert_file: Path | None = Field(default=None, description="Client certificate (PEM), for mutual TLS")
    kafka_ssl_key_file: Path | None = Field(default=None, description="Key of the client certificate (PEM)")
    kafka_ssl_key_password: SecretStr | None = Field(default=None, description="Password of that key, if it has one")

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _each_without_quotes(cls, value: str) -> str:
        if any(quote in value for quotes in QUOTES for quote in quotes):
            raise ValueError("a host is in quotes: leave them out")
        return value


class DatabaseSettings(Settings):
    """Says how to reach PostgreSQL."""

    database_url: SecretStr = Field(
        description="PostgreSQL connection URI of the state table; with several hosts, end it with "
        "`target_session_attrs=read-write`"
    )

    @field_validator("database_url")
    @classmethod
    def _escaped(cls, value: SecretStr) -> SecretStr:
        # The library's complaint about an URI that it misreads quotes the rest of the password.
        if _DATABASE_URL.fullmatch(value.get_secret_value()) is None:
            raise ValueError("not a PostgreSQL URI; in the password write @ / ? # % as %40 %2F %3F %23 %25")
        return value


class LogSettings(Settings):
    """Says how to log."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto` is text on a terminal, JSON lines otherwise"
    )


S = TypeVar("S", bound=Settings)


def load(settings_type: type[S], **overrides: Any) -> S:
    """Read settings, or end the process with one line per mistake (exit code 2). Values are never shown."""
    try:
        return settings_type(**overrides)
    except ValidationError as error:
        _give_up([f"  {mistake}" for mistake in _mistakes(error)])
    except SettingsError as error:
        _give_up([f"  {error}"])


def reload(settings_type: type[S]) -> S:
    """Read settings anew while the process runs.

    Raises:
        SettingsError: they are not usable; the message names each mistake and never shows a value.
    """
    try:
        return settings_type()
    except ValidationError as error:
        raise SettingsError("; ".join(_mistakes(error))) from None


def secret_files(settings_type: type[Settings], names: Iterable[str]) -> list[Path]:
    """List the files that hold these settings now, for those that are given as `NAME_FILE`."""
    found = (os.environ.get(f"{name.upper()}_FILE") for name in names if name in settings_type.model_fields)
    return [Path(path) for path in found if path is not None]


def masked(settings: Settings) -> Mapping[str, object]:
    """Show the settings in the log: secrets only as `<name>_configured`."""
    shown: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) or type(settings).model_fields[name].repr is False:
            shown[f"{name}_configured"] = bool(value)
        else:
            shown[name] = str(value) if isinstance(value, Path) else value
    return shown


def describe(command: str, summary: str, settings_type: type[Settings], *, more: str = "") -> str:
    """Write the text of `--help`: every setting with its default and meaning, then `more`."""
    lines = [
        f"usage: {command}",
        "",
        summary,
        "Set by environment variables; each NAME may also be given as NAME_FILE, the path of a file with the value.",
        "",
    ]
    for name, field in settings_type.model_fields.items():
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        lines += [f"  {name.upper()}", f"      {field.description} ({default})"]
    return "\n".join(lines) + "\n" + (f"\n{more}" if more else "")


def _mistakes(error: ValidationError) -> list[str]:
    return [f"{_name(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)]


def _shown(default: object) -> str:
    return str(default) if default is not None and str(default) else "none"


def _name(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "settings"


def _give_up(lines: list[str]) -> NoReturn:
    sys.stderr.write("\n".join(["error: the settings are not usable", *lines]) + "\n")
    raise SystemExit(EXIT_USAGE)
