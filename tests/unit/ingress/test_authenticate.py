"""The pure decision who sent a body."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.authenticate import (
    AUTHORIZATION_REPEATED,
    NO_CREDENTIALS,
    SIGNATURE_REPEATED,
    SIGNATURE_WRONG,
    TOKEN_WRONG,
    Authenticated,
    Authenticator,
    Credential,
    Refused,
    Scheme,
)

BODY = b'{"event": "call.started"}'
OLD, NEW = Credential("key-old", b"old secret"), Credential("key-new", "nouveau secret é".encode())
TOKEN_A, TOKEN_B = Credential("token-a", b"token-of-a"), Credential("token-b", b"token-of-b")
AUTHENTICATOR = Authenticator(secrets=[OLD, NEW], tokens=[TOKEN_A, TOKEN_B])


def sign(secret: Credential, body: bytes = BODY) -> str:
    return hmac.new(secret.value, body, hashlib.sha256).hexdigest()


RIGHT_TOKEN = "Bearer token-of-a"


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("written", ["{}", "sha256={}"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_signature_by_any_active_secret_is_accepted(secret: Credential, written: str, case: type[str]) -> None:
    signature = written.format(case(sign(secret)))

    assert AUTHENTICATOR.authenticate([signature], [], BODY) == Authenticated(Scheme.HMAC, secret.key_id)


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
