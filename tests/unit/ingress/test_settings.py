"""Settings: what is read, what is refused, what is never shown."""

from pathlib import Path

import pytest

from ingress.__main__ import main
from ingress.authenticate import Credential
from ingress.settings import IngressSettings
from runtime.settings import describe, load, masked
from schemas.topics import MAX_BODY_BYTES

SECRET = "s3cret:with:colons"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IngressSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")


def test_credentials_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGRESS_HMAC_SECRETS", f" a:{SECRET} , b:other,")
    monkeypatch.setenv("INGRESS_BEARER_TOKENS", "c:token")

    settings = load(IngressSettings)

    assert settings.secrets == [Credential("a", SECRET.encode()), Credential("b", b"other")]
    assert settings.tokens == [Credential("c", b"token")]


def test_credentials_are_read_from_a_file_by_line_or_comma(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("a:one\r\nb:two,c:three\n\n", encoding="utf-8")
    monkeypatch.setenv("INGRESS_HMAC_SECRETS_FILE", str(file))

    assert [secret.key_id for secret in load(IngressSettings).secrets] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("secrets", "tokens", "message"),
    [
        ("", "", "both empty"),
        (" , ", "\n", "both empty"),
        ("value-without-id", "", "entry 1 is not `id:value`"),
        ("a:ok,:value", "", "the id of entry 2 must be"),
        ("a b:value", "", "the id of entry 1 must be"),
        ("x" * 65 + ":value", "", "the id of entry 1 must be"),
        ("a:", "", "the value of a is empty"),
        ("a:val\x00ue", "", "the value of a is empty or contains control characters"),
        ("a:" + "x" * 1025, "", "the value of a is longer than 1024 characters"),
        ("a:value,a:other", "", "the id a is used more than once"),
        ("a:value", "a:other", "the id a is used more than once"),
        ("", "a:two words", "the value of a cannot be sent in a header"),
        ("", "a:clé", "the value of a cannot be sent in a header"),
        ('k1:"other"', "", "INGRESS_HMAC_SECRETS: Value error, the value of k1 is in quotes"),
        ("k0:ok\nk1: 'other' ", "", "INGRESS_HMAC_SECRETS: Value error, the value of k1 is in quotes"),
        ("k1:“other”", "", "INGRESS_HMAC_SECRETS: Value error, the value of k1 is in quotes"),
        ('"k1:other"', "", "INGRESS_HMAC_SECRETS: Value error, the value is in quotes"),
        ("'k1:other,k2:other'", "", "INGRESS_HMAC_SECRETS: Value error, the value is in quotes"),
        ("", 'k1:"other"', "INGRESS_BEARER_TOKENS: Value error, the value of k1 is in quotes"),
    ],
)
def test_unusable_credentials_end_the_process_without_showing_a_value(
    secrets: str, tokens: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        load(IngressSettings, ingress_hmac_secrets=secrets, ingress_bearer_tokens=tokens)

    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in shown
    assert "value-without-id" not in shown
    assert "clé" not in shown
    assert "other" not in shown


def test_a_secret_that_begins_or_ends_with_a_quote_is_one() -> None:
    settings = load(IngressSettings, ingress_hmac_secrets='a:"x,b:x\',c:x"y')

    assert [credential.value for credential in settings.secrets] == [b'"x', b"x'", b'x"y']


def test_body_limit_leaves_room_for_headers_in_a_message() -> None:
    load(IngressSettings, ingress_hmac_secrets="a:x", ingress_max_body_bytes=MAX_BODY_BYTES)

    with pytest.raises(SystemExit):
        load(IngressSettings, ingress_hmac_secrets="a:x", ingress_max_body_bytes=MAX_BODY_BYTES + 1)


def test_secrets_are_masked() -> None:
    settings = load(IngressSettings, ingress_hmac_secrets=f"a:{SECRET}")

    assert SECRET not in str(masked(settings))
    assert SECRET not in repr(settings)
    assert masked(settings)["ingress_hmac_secrets_configured"] is True
    assert masked(settings)["ingress_bearer_tokens_configured"] is False


def test_defaults_are_the_documented_ones() -> None:
    settings = load(IngressSettings, ingress_hmac_secrets="a:x")

    assert (settings.ingress_port, settings.ingress_admin_port) == (8080, 9080)
    assert settings.ingress_max_body_bytes == 1024 * 1024
    assert settings.ingress_publish_timeout_seconds == 8


def test_help_names_every_setting() -> None:
    text = describe("ringover-ingress", "", IngressSettings)

    assert all(name.upper() in text for name in IngressSettings.model_fields)
    assert "INGRESS_HMAC_SECRETS\n      Secrets that sign bodies" in text


def test_help_needs_no_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["ringover-ingress", "--help"])

    assert main() == 0
    text = capsys.readouterr().out
    assert "usage: ringover-ingress\n" in text
    assert "Share that port with other ingresses" in text


@pytest.mark.parametrize("arguments", [["--port", "1"], ["--workers", "2"]])
def test_arguments_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ringover-ingress", *arguments])

    assert main() == 2
    assert "takes no arguments" in capsys.readouterr().err


def test_process_without_credentials_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ringover-ingress"])

    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == 2
    assert "INGRESS_HMAC_SECRETS and INGRESS_BEARER_TOKENS are both empty" in capsys.readouterr().err
