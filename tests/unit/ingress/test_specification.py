"""The pure decision who sent a body."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.authenticate import Authenticated, Credential, Refused, Scheme
from ingress.dialects.specification import (
    AUTHORIZATION_REPEATED,
    NO_CREDENTIALS,
    SIGNATURE_REPEATED,
    SIGNATURE_WRONG,
    TOKEN_WRONG,
    Authenticator,
)

BODY = b'{"event": "call.started"}'
OLD, NEW = Credential("key-old", b"old secret"), Credential("key-new", "nouveau secret é".encode())
TOKEN_A, TOKEN_B = Credential("token-a", b"token-of-a"), Credential("token-b", b"token-of-b")
AUTHENTICATOR = Authenticator(secrets=[OLD, NEW], tokens=[TOKEN_A, TOKEN_B])


def sign(secret: Credential, body: bytes = BODY) -> str:
    return hmac.new(secret.value, body, hashlib.sha256).hexdigest()


def digest(secret: Credential, body: bytes = BODY) -> bytes:
    return hmac.digest(secret.value, body, hashlib.sha256)


def both_special(secret: Credential) -> bytes:
    """A body whose signature has a digit of each kind in which the two alphabets differ."""
    return next(
        body
        for body in (b"%d" % number for number in range(1000))
        if {"+", "/"} <= set(base64.b64encode(digest(secret, body)).decode())
    )


RIGHT_TOKEN = "Bearer token-of-a"


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("written", ["{}", "sha256={}"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_signature_by_any_active_secret_is_accepted(secret: Credential, written: str, case: type[str]) -> None:
    signature = written.format(case(sign(secret)))

    assert AUTHENTICATOR.authenticate([signature], [], BODY) == Authenticated(Scheme.HMAC, secret.key_id)


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("written", ["{}", "sha256={}"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["=", ""], ids=["padded", "unpadded"])
def test_signature_in_base64_or_base64url_is_accepted(
    secret: Credential, written: str, encode: Any, padding: str
) -> None:
    body = both_special(secret)
    signature = written.format(encode(digest(secret, body)).decode().rstrip("=") + padding)

    assert AUTHENTICATOR.authenticate([signature], [], body) == Authenticated(Scheme.HMAC, secret.key_id)
    assert AUTHENTICATOR.authenticate([signature], [], body + b" ") == SIGNATURE_WRONG


def spoiled() -> dict[str, str]:
    """Spellings that a lenient reader of Base64 takes for the right 32 bytes."""
    right = base64.b64encode(digest(OLD, both_special(OLD))).decode()
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return {
        "alphabets mixed": right.replace("+", "-"),
        "alphabets mixed the other way": right.replace("/", "_"),
        "bits set behind the last byte": right[:42] + last[last.index(right[42]) + 1] + "=",
        "the same unpadded": right[:42] + last[last.index(right[42]) + 3],
        "padded twice": right + "=",
        "padding in front": "=" + right[:-1],
        "padding inside": right[:20] + "=" + right[20:-1],
        "white space in front": " " + right,
        "white space behind": right[:-1] + " ",
        "a line break behind": right + "\n",
        "a line break for the padding": right[:-1] + "\n",
        "white space inside": right[:20] + " " + right[20:-1],
        "quoted": f'"{right}"',
        "in another case": right.swapcase(),
        "prefix in upper case": "SHA256=" + right,
        "another algorithm": "sha1=" + right,
        "prefix twice": "sha256=sha256=" + right,
        "hex in Base64": base64.b64encode(sign(OLD, both_special(OLD)).encode()).decode(),
        "one digit less": right[:42],
        "two in one": f"{right},{right}",
        "digits of another script": "٣" * 43,
        "not UTF-8 on the wire": "\udcff" * 43,
    }


@pytest.mark.parametrize("attempt", spoiled())
def test_base64_is_read_strictly(attempt: str) -> None:
    assert AUTHENTICATOR.authenticate([spoiled()[attempt]], [RIGHT_TOKEN], both_special(OLD)) == SIGNATURE_WRONG


@pytest.mark.parametrize("header", ["Bearer token-of-b", "bearer token-of-b", "BEARER   token-of-b"])
def test_bearer_token_is_accepted_whatever_the_case_of_the_scheme(header: str) -> None:
    assert AUTHENTICATOR.authenticate([], [header], BODY) == Authenticated(Scheme.BEARER, "token-b")


def test_signature_known_to_the_world_is_reproduced() -> None:
    """RFC 4231, test case 2."""
    authenticator = Authenticator(secrets=[Credential("rfc", b"Jefe")], tokens=[])
    signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    outcome = authenticator.authenticate([signature], [], b"what do ya want for nothing?")

    assert outcome == Authenticated(Scheme.HMAC, "rfc")


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(sign(OLD, BODY + b" "), id="of another body"),
        pytest.param(sign(Credential("x", b"another secret")), id="by another secret"),
        pytest.param("", id="empty"),
        pytest.param("sha256=", id="prefix only"),
        pytest.param(sign(OLD)[:-1], id="odd length"),
        pytest.param(sign(OLD) + "00", id="too long"),
        pytest.param("z" * 64, id="not hex"),
        pytest.param("é" * 64, id="not ASCII"),
        pytest.param("٣" * 64, id="digits of another script"),
        pytest.param("\udcff" * 64, id="not UTF-8 on the wire"),
        pytest.param("ab " * 21 + "a", id="white space that the hex reader skips"),
        pytest.param("a" * 8000, id="overlong"),
        pytest.param("SHA1=" + sign(OLD), id="another algorithm"),
        pytest.param(f"{sign(OLD)},{sign(OLD)}", id="two in one header"),
    ],
)
def test_wrong_signature_is_refused_even_beside_a_right_token(signature: str) -> None:
    assert AUTHENTICATOR.authenticate([signature], [], BODY) == SIGNATURE_WRONG
    assert AUTHENTICATOR.authenticate([signature], [RIGHT_TOKEN], BODY) == SIGNATURE_WRONG


@pytest.mark.parametrize(
    "header",
    [
        "Bearer token-of-c",
        "Bearer token-of-",
        "Bearer token-of-aa",
        "Bearer",
        "Bearer ",
        "token-of-a",
        "Basic token-of-a",
        "Bearer\ttoken-of-a",
        "Bearer token-of-a token-of-b",
        "Bearer é",
        "Bearer \udcff",
        "Bearer " + "a" * 8000,
        "",
    ],
)
def test_wrong_token_is_refused(header: str) -> None:
    assert AUTHENTICATOR.authenticate([], [header], BODY) == TOKEN_WRONG


def test_repeated_headers_are_refused_even_when_each_is_right() -> None:
    assert AUTHENTICATOR.authenticate([sign(OLD), sign(OLD)], [RIGHT_TOKEN], BODY) == SIGNATURE_REPEATED
    assert AUTHENTICATOR.authenticate([], [RIGHT_TOKEN, RIGHT_TOKEN], BODY) == AUTHORIZATION_REPEATED


def test_no_credentials_are_refused() -> None:
    assert AUTHENTICATOR.authenticate([], [], BODY) == NO_CREDENTIALS


def test_scheme_without_active_credentials_admits_nobody() -> None:
    only_tokens = Authenticator(secrets=[], tokens=[TOKEN_A])
    only_secrets = Authenticator(secrets=[OLD], tokens=[])

    assert only_tokens.authenticate([sign(Credential("empty", b""))], [], BODY) == SIGNATURE_WRONG
    assert only_secrets.authenticate([], [RIGHT_TOKEN], BODY) == TOKEN_WRONG


def test_credentials_do_not_show_their_values() -> None:
    assert "secret" not in repr(OLD)


HEADER = st.one_of(
    st.text(),
    st.text(alphabet="0123456789abcdefABCDEF", min_size=64, max_size=64),
    st.builds("sha256={}".format, st.text(alphabet="0123456789abcdef")),
    st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode()),
    st.binary(min_size=32, max_size=32).map(lambda raw: "sha256=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")),
    st.builds("Bearer {}".format, st.text()),
    st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


@given(st.lists(HEADER, max_size=3), st.lists(HEADER, max_size=3), st.binary())
def test_nothing_unauthenticated_is_accepted_and_nothing_raises(
    signatures: list[str], authorizations: list[str], body: bytes
) -> None:
    assert isinstance(AUTHENTICATOR.authenticate(signatures, authorizations, body), Refused)


@given(st.binary(), st.sampled_from([OLD, NEW]), st.binary(min_size=1))
def test_right_signature_is_accepted_for_its_body_only(body: bytes, secret: Credential, more: bytes) -> None:
    signature = sign(secret, body)

    assert AUTHENTICATOR.authenticate([signature], [], body) == Authenticated(Scheme.HMAC, secret.key_id)
    assert AUTHENTICATOR.authenticate([signature], [], body + more) == SIGNATURE_WRONG


SIGNATURES = {
    "first": sign(OLD),
    "last": sign(NEW),
    "none": sign(Credential("x", b"another secret")),
    "first byte right": sign(OLD)[:2] + "0" * 62,
    "all zero": "0" * 64,
    "first in Base64": base64.b64encode(digest(OLD)).decode(),
    "none in Base64url": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("="),
}
AUTHORIZATIONS = {
    "first": "Bearer token-of-a",
    "last": "Bearer token-of-b",
    "none": "Bearer token-of-c",
    "beginning": "Bearer token",
    "longer": "Bearer token-of-a-and-more",
}


@pytest.mark.parametrize("presented", SIGNATURES.values(), ids=SIGNATURES)
def test_every_signature_costs_the_same_work(presented: str, compared: list[tuple[int, int]]) -> None:
    """Which secret matches, or none: each is tried, on digests of one length, in constant time."""
    AUTHENTICATOR.authenticate([presented], [], BODY)

    assert compared == [(32, 32)] * 2


@pytest.mark.parametrize("presented", AUTHORIZATIONS.values(), ids=AUTHORIZATIONS)
def test_every_token_costs_the_same_work(presented: str, compared: list[tuple[int, int]]) -> None:
    AUTHENTICATOR.authenticate([], [presented], BODY)

    assert compared == [(32, 32)] * 2


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The lengths of what is compared, one entry for each comparison in constant time."""
    seen: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        seen.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    return seen
