"""Every known way around a proof of the sender, tried on the pure decision, on the wire, and against a model."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.accept import ToDeadLetter, ToRaw, accept
from ingress.authenticate import Authenticated, Credential, Refused
from ingress.dialects import specification
from ingress.dialects.specification import Authenticator
from ingress.ports import record_of
from schemas.events import EventType
from schemas.headers import RawHeaders
from schemas.topics import TopicNames
from tests.support.authentication_model import model
from tests.unit.ingress.serving import BODY, TOKEN, Serving, head, raw_connection, serving, signature

SECRETS = {"key-old": b"old secret", "key-new": "nouveau é".encode()}
TOKENS = {"token-a": b"token-of-a", "token-b": b"token-of-b"}
AUTHENTICATOR = Authenticator(
    secrets=[Credential(*item) for item in SECRETS.items()], tokens=[Credential(*item) for item in TOKENS.items()]
)
RAW_HEADERS = RawHeaders(
    request_id="r",
    endpoint="call-started",
    received_at="2026-01-02T15:00:00.000Z",
    auth_scheme="hmac",
    auth_key_id="key-old",
    content_type="application/json",
)


def sign(body: bytes, key: bytes = SECRETS["key-old"]) -> str:
    return hmac.digest(key, body, hashlib.sha256).hex()


RIGHT = signature(BODY)
URLSAFE = str.maketrans("+/", "-_")
RIGHT64 = base64.b64encode(bytes.fromhex(RIGHT)).decode()
BEARER = f"Bearer {TOKEN}"
# Header lines of one request, latin-1 on the wire.
BYPASSES: dict[str, list[tuple[str, str]]] = {
    "no header": [],
    "empty signature": [("X-Ringover-Signature", "")],
    "white space": [("X-Ringover-Signature", " \t ")],
    "prefix only": [("X-Ringover-Signature", "sha256=")],
    "prefix twice": [("X-Ringover-Signature", f"sha256=sha256={RIGHT}")],
    "prefix in upper case": [("X-Ringover-Signature", f"SHA256={RIGHT}")],
    "space after the prefix": [("X-Ringover-Signature", f"sha256= {RIGHT}")],
    "another algorithm": [("X-Ringover-Signature", f"sha1={RIGHT[:40]}")],
    "quoted": [("X-Ringover-Signature", f'"{RIGHT}"')],
    "one digit less": [("X-Ringover-Signature", RIGHT[:-1])],
    "one byte less": [("X-Ringover-Signature", RIGHT[:-2])],
    "one byte more": [("X-Ringover-Signature", RIGHT + "00")],
    "last digit wrong": [("X-Ringover-Signature", RIGHT[:-1] + ("0" if RIGHT[-1] != "0" else "1"))],
    "spaces inside": [("X-Ringover-Signature", RIGHT[:62] + "  ")],
    "0x": [("X-Ringover-Signature", "0x" + RIGHT[2:])],
    "base64": [("X-Ringover-Signature", "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=")],
    "base64 of zeros": [("X-Ringover-Signature", "A" * 43 + "=")],
    "base64 of the hex digits": [("X-Ringover-Signature", base64.b64encode(RIGHT.encode()).decode())],
    "base64 without its last digit": [("X-Ringover-Signature", RIGHT64[:42])],
    "base64 with bits behind the last byte": [("X-Ringover-Signature", RIGHT64[:42] + chr(ord(RIGHT64[42]) + 1))],
    "base64 padded twice": [("X-Ringover-Signature", RIGHT64 + "=")],
    "base64 with a space inside": [("X-Ringover-Signature", RIGHT64[:20] + " " + RIGHT64[20:-1])],
    "base64 as a token": [("Authorization", f"Bearer {RIGHT64}")],
    "base64 twice": [("X-Ringover-Signature", RIGHT64), ("X-Ringover-Signature", RIGHT64)],
    "latin-1": [("X-Ringover-Signature", "é" * 64)],
    "very long": [("X-Ringover-Signature", RIGHT * 100)],
    "two in one line": [("X-Ringover-Signature", f"{RIGHT}, {RIGHT}")],
    "right one twice": [("X-Ringover-Signature", RIGHT), ("X-Ringover-Signature", RIGHT)],
    "right one after a wrong one": [("X-Ringover-Signature", "0" * 64), ("X-Ringover-Signature", RIGHT)],
    "right one before a wrong one": [("X-Ringover-Signature", RIGHT), ("x-ringover-signature", "0" * 64)],
    "wrong signature, right token": [("X-Ringover-Signature", "0" * 64), ("Authorization", BEARER)],
    "empty signature, right token": [("X-Ringover-Signature", ""), ("Authorization", BEARER)],
    "signature in the other header": [("Authorization", f"Bearer {RIGHT}")],
    "token in the other header": [("X-Ringover-Signature", TOKEN)],
    "underscores": [("X_Ringover_Signature", RIGHT)],
    "null digest": [("X-Ringover-Signature", "0" * 64)],
    "digest of the empty key": [("X-Ringover-Signature", sign(BODY, b""))],
    "plain hash": [("X-Ringover-Signature", hashlib.sha256(BODY).hexdigest())],
    "scheme only": [("Authorization", "Bearer")],
    "empty token": [("Authorization", "Bearer ")],
    "token without its scheme": [("Authorization", TOKEN)],
    "basic": [("Authorization", f"Basic {TOKEN}")],
    "prefix of the token": [("Authorization", BEARER[:-1])],
    "token and more": [("Authorization", BEARER + "x")],
    "more before the token": [("Authorization", f"Bearer x{TOKEN}")],
    "token in upper case": [("Authorization", f"Bearer {TOKEN.upper()}")],
    "id of the token": [("Authorization", "Bearer token-1")],
    "id and token": [("Authorization", f"Bearer token-1:{TOKEN}")],
    "tab after the scheme": [("Authorization", f"Bearer\t{TOKEN}")],
    "no-break space": [("Authorization", f"Bearer\xa0{TOKEN}")],
    "token and latin-1": [("Authorization", BEARER + "é")],
    "two schemes": [("Authorization", f"Basic x, {BEARER}")],
    "right token twice": [("Authorization", BEARER), ("Authorization", BEARER)],
    "very long token": [("Authorization", "Bearer " + TOKEN * 100)],
    "proxy's header": [("Proxy-Authorization", BEARER)],
}
UNREADABLE: dict[str, bytes] = {
    "NUL after the signature": f"X-Ringover-Signature: {RIGHT}\0".encode(),
    "NUL in the token": f"Authorization: Bearer {TOKEN}\0x".encode(),
    "space before the colon": f"X-Ringover-Signature : {RIGHT}".encode(),
    "folded line": b"X-Ringover-Signature:\r\n " + RIGHT.encode(),
}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


async def _answer(server: Serving, lines: list[bytes]) -> Any:
    known = [b"Content-Type: application/json", b"Content-Length: %d" % len(BODY)]
    request = head()[:-2] + b"".join(line + b"\r\n" for line in [*known, *lines]) + b"\r\n" + BODY
    async with raw_connection(server) as connection:
        await connection.send(request)
        return await connection.answer()


@pytest.mark.parametrize("attempt", BYPASSES)
async def test_no_way_around_the_proof_on_the_wire(server: Serving, attempt: str) -> None:
    answer = await _answer(server, [f"{name}: {value}".encode("latin-1") for name, value in BYPASSES[attempt]])

    assert (answer.status, answer.headers["www-authenticate"]) == (401, "bearer")
    assert server.nothing_stored


@pytest.mark.parametrize("attempt", UNREADABLE)
async def test_header_that_is_not_one_is_no_request(server: Serving, attempt: str) -> None:
    assert (await _answer(server, [UNREADABLE[attempt]])).status in {400, 401}
    assert server.nothing_stored


async def test_the_same_request_with_its_proof_is_taken() -> None:
    async with serving() as server:
        for line in (
            f"X-Ringover-Signature: sha256={RIGHT.upper()}",
            f"X-Ringover-Signature: {RIGHT64}",
            f"X-Ringover-Signature: sha256={RIGHT64.translate(URLSAFE).rstrip('=')}",
            f"authorization: BEARER  {TOKEN}",
        ):
            assert (await _answer(server, [line.encode()])).status == 202
        assert len(server.raw) == 4


HEX = st.text(alphabet="0123456789abcdefABCDEF", min_size=62, max_size=66)
ANY = st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[str], list[str], bytes]:
    """Requests near the border: right proofs, changed a little or not at all."""
    body = draw(st.binary(max_size=50))
    right = st.sampled_from([sign(body, key) for key in SECRETS.values()])
    base64_ = right.map(lambda spelled: base64.b64encode(bytes.fromhex(spelled)).decode())
    spoiled = st.tuples(base64_, st.integers(0, 44), st.sampled_from(["", "=", "+", "-", "_", "B", " "])).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] + 1 :]
    )
    spellings = [right, right.map(str.upper), HEX, base64_, base64_.map(lambda text: text.translate(URLSAFE)), spoiled]
    spellings.append(base64_.map(lambda text: text.rstrip("=")))
    near = st.tuples(st.sampled_from(["", "", "sha256=", "SHA256=", " "]), st.one_of(spellings))
    token = st.sampled_from([token.decode() for token in TOKENS.values()])
    scheme = st.sampled_from(["Bearer ", "bearer ", "BEARER  ", "Basic ", "Bearer\t", " Bearer ", ""])
    bearer = st.tuples(scheme, st.one_of(token, ANY), st.sampled_from(["", "", " ", "x", "\x00", "é"]))
    signatures = draw(st.lists(st.one_of(near.map("".join), near.map("".join), ANY), max_size=2))
    authorizations = draw(st.lists(st.one_of(bearer.map("".join), bearer.map("".join), ANY), max_size=2))
    return signatures, authorizations, body


@given(requests())
def test_authenticator_admits_exactly_whom_the_model_admits(request: tuple[list[str], list[str], bytes]) -> None:
    outcome = AUTHENTICATOR.authenticate(*request)

    assert (outcome.key_id if isinstance(outcome, Authenticated) else None) == model(SECRETS, TOKENS, *request)


def test_model_admits_somebody() -> None:
    assert model(SECRETS, TOKENS, ["sha256=" + sign(b"x").upper()], [], b"x") == "key-old"
    assert model(SECRETS, TOKENS, [], ["bearer  token-of-b "], b"x") == "token-b"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["call", "id", "event", "recording", "timestamp"]), st.text()), inner
        ),
    ),
    max_leaves=20,
)


def _json(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # lone surrogates
        return repr(document).encode("utf-8", "surrogatepass")


@given(st.sampled_from(EventType), st.one_of(st.binary(), JSON.map(_json)))
def test_every_body_has_a_place_and_is_stored_verbatim(event_type: EventType, body: bytes) -> None:
    accepted = accept(event_type, body)
    record = record_of(accepted, body, RAW_HEADERS.encode(), TopicNames("t."))

    assert isinstance(accepted, ToRaw | ToDeadLetter)
    assert record.value == body


class CountingMac:
    """A keyed hash that counts how often it is asked."""

    def __init__(self, keyed: Any, counts: list[str]) -> None:
        self._keyed = keyed
        self._counts = counts

    def copy(self) -> "CountingMac":
        return CountingMac(self._keyed.copy(), self._counts)

    def update(self, data: bytes) -> None:
        self._counts.append(f"update {len(data)}")
        self._keyed.update(data)

    def digest(self) -> bytes:
        self._counts.append("digest")
        return bytes(self._keyed.digest())


@pytest.mark.parametrize(
    ("signatures", "authorizations", "admitted"),
    [
        pytest.param([sign(BODY)], [], True, id="signature by the first key"),
        pytest.param([sign(BODY, SECRETS["key-new"])], [], True, id="signature by the last key"),
        pytest.param([sign(BODY, b"unknown")], [], False, id="signature by an unknown key"),
        pytest.param(["0" * 64], [], False, id="signature by no key"),
        pytest.param([], ["Bearer token-of-a"], True, id="first token"),
        pytest.param([], ["Bearer token-of-b"], True, id="last token"),
        pytest.param([], ["Bearer unknown"], False, id="unknown token"),
    ],
)
def test_work_is_the_same_whichever_credential_matches_or_none(
    signatures: list[str], authorizations: list[str], admitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    authenticator = Authenticator(
        secrets=[Credential(*item) for item in SECRETS.items()], tokens=[Credential(*item) for item in TOKENS.items()]
    )
    authenticator._macs = [(name, CountingMac(mac, counts)) for name, mac in authenticator._macs]  # type: ignore[misc]
    compare = hmac.compare_digest

    def counted(left: bytes, right: bytes) -> bool:
        counts.append(f"compare {len(left)} {len(right)}")
        return compare(left, right)

    monkeypatch.setattr(specification.hmac, "compare_digest", counted)  # type: ignore[attr-defined]

    outcome = authenticator.authenticate(signatures, authorizations, BODY)

    assert isinstance(outcome, Refused) is not admitted
    per_key = [f"update {len(BODY)}", "digest"] if signatures else []
    assert counts == [*per_key, "compare 32 32"] * 2
