"""Settings: from variables and from files, refused with words, and never shown with their secrets."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from runtime.settings import DatabaseSettings, KafkaSettings, LogSettings, Settings, describe, load, masked

SECRET = "postgresql://user:hunter2@host/db"
VARIABLES = ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_PREFIX", "KAFKA_SASL_PASSWORD", "LOG_LEVEL"]


class AllSettings(KafkaSettings, DatabaseSettings, LogSettings):
    """What a process might read."""

    hidden: str = Field(default="", repr=False, description="Not for the log")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def refusal(settings: type[Settings], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        load(settings)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", SECRET)

    assert load(DatabaseSettings).database_url.get_secret_value() == SECRET


def test_setting_is_read_from_a_file_without_white_space_around_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text(f"  {SECRET}\n\n", encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL_FILE", str(path))

    assert load(DatabaseSettings).database_url.get_secret_value() == SECRET


def test_a_byte_order_mark_of_a_file_is_no_part_of_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET, encoding="utf-8-sig")
    monkeypatch.setenv("DATABASE_URL_FILE", str(path))

    assert load(DatabaseSettings).database_url.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f'"{SECRET}"'),
        ("DATABASE_URL", f"'{SECRET}'"),
        ("KAFKA_SASL_PASSWORD", '"hunter2"'),
        ("KAFKA_SASL_PASSWORD", " 'hunter2'\n"),
        ("KAFKA_BOOTSTRAP_SERVERS", '"a:1,b:1"'),
        ("KAFKA_BOOTSTRAP_SERVERS", '"a:1","b:1"'),
        ("KAFKA_BOOTSTRAP_SERVERS", 'a:1,"b:1"'),
        ("KAFKA_TOPIC_PREFIX", '"hunter2"'),
        ("LOG_LEVEL", '"info"'),
    ],
)
def test_a_setting_in_quotes_is_refused_by_name_and_never_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", SECRET)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1")
    monkeypatch.setenv(name, value)
    of_variable = refusal(AllSettings, capsys)
    monkeypatch.delenv(name)
    path = tmp_path / "setting"
    path.write_text(value)
    monkeypatch.setenv(f"{name}_FILE", str(path))
    of_file = refusal(AllSettings, capsys)

    for said in (of_variable, of_file):
        assert f"  {name}: " in said
        assert "in quotes" in said
        assert "hunter2" not in said


def test_setting_given_both_ways_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET, encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL_FILE", str(path))
    monkeypatch.setenv("DATABASE_URL", SECRET)

    said = refusal(DatabaseSettings, capsys)

    assert "DATABASE_URL and DATABASE_URL_FILE are both set" in said
    assert "hunter2" not in said


def test_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "missing"))
    assert "DATABASE_URL_FILE cannot be read" in refusal(DatabaseSettings, capsys)

    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path))
    assert "DATABASE_URL_FILE cannot be read" in refusal(DatabaseSettings, capsys)

    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    monkeypatch.setenv("DATABASE_URL_FILE", str(binary))
    assert "DATABASE_URL_FILE cannot be read" in refusal(DatabaseSettings, capsys)


def test_every_missing_setting_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(AllSettings, capsys)

    first, *mistakes = said.splitlines()
    assert first == "error: the settings are not usable"
    assert sorted(mistakes) == ["  DATABASE_URL: Field required", "  KAFKA_BOOTSTRAP_SERVERS: Field required"]


def test_refused_value_is_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOG_LEVEL", "hunter2")

    said = refusal(LogSettings, capsys)

    assert "LOG_LEVEL: " in said
    assert "hunter2" not in said


def test_settings_cannot_be_changed() -> None:
    settings = LogSettings()

    with pytest.raises(ValidationError):
        settings.log_level = "debug"  # type: ignore[misc]


def test_masked_settings_never_show_a_secret() -> None:
    settings = AllSettings(
        kafka_bootstrap_servers="broker:9092",
        database_url=SecretStr(SECRET),
        kafka_sasl_password=SecretStr("hunter2"),
        kafka_ssl_ca_file=Path("ca.pem"),
        hidden="hunter2",
    )

    shown = masked(settings)

    assert "hunter2" not in repr(shown)
    assert shown["database_url_configured"] is True
    assert shown["kafka_sasl_password_configured"] is True
    assert shown["hidden_configured"] is True
    assert shown["kafka_bootstrap_servers"] == "broker:9092"
    assert shown["kafka_ssl_ca_file"] == "ca.pem"
    assert "hunter2" not in repr(settings).replace("hidden", "")


def test_help_names_every_setting_with_default_and_meaning() -> None:
    text = describe("ringover-test", "Does what the test says.", AllSettings)

    assert text.startswith("usage: ringover-test\n")
    lines = [line.strip() for line in text.splitlines()]
    assert "Does what the test says." in lines
    for name, field in AllSettings.model_fields.items():
        meaning = lines[lines.index(name.upper()) + 1]
        assert field.description is not None
        assert meaning.startswith(field.description)
        assert meaning.endswith("(required)") is field.is_required()
    assert "(default: info)" in text


@pytest.mark.parametrize("settings", [KafkaSettings, DatabaseSettings, LogSettings])
def test_every_setting_is_described(settings: type[Settings]) -> None:
    assert all(field.description for field in settings.model_fields.values())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:p%40ss%20w%2Frd@db:5432/ringover?sslmode=verify-full&sslrootcert=%2Fca.pem",
        "postgres://user@db1,db2/ringover",
        "postgresql:///ringover?host=/run/postgresql",
    ],
)
def test_a_database_uri_is_taken(url: str) -> None:
    assert DatabaseSettings(database_url=SecretStr(url)).database_url.get_secret_value() == url


@pytest.mark.parametrize("password", ["hunter@2", "hunter 2", "hunter/2", "hunter%zz", "hunter?2", "hunter#2"])
def test_a_password_that_the_library_would_misread_and_quote_is_refused(password: str) -> None:
    with pytest.raises(ValidationError, match="not a PostgreSQL URI") as refused:
        DatabaseSettings(database_url=SecretStr(f"postgresql://user:{password}@db/ringover"))

    assert "hunter" not in str(refused.value)
