"""What strangers' bytes meet first: `authenticate`, then `accept`, then the record that is stored.

`python -m tests.fuzz.fuzz_ingress CORPUS [libFuzzer options]`, in an environment with atheris; `make fuzz` does it. The
first byte of an input chooses what it is: the headers of a stranger, or an authentic body.
"""

import base64
import hashlib
import hmac
import sys

import atheris

with atheris.instrument_imports(include=["ingress", "schemas"]):
    from ingress.accept import ToDeadLetter, ToRaw, accept
    from ingress.authenticate import Authenticated, Credential
    from ingress.dialects.specification import Authenticator
    from ingress.ports import record_of
    from schemas.events import EventType
    from schemas.fields import is_id
    from schemas.headers import RawHeaders
    from schemas.topics import MAX_MESSAGE_BYTES, TopicNames

SECRETS = [Credential("one", b"first secret"), Credential("two", "zweites Geheimnis ü".encode())]
TOKENS = [Credential("three", b"a-token"), Credential("four", b"another-token")]
AUTHENTICATOR = Authenticator(secrets=SECRETS, tokens=TOKENS)
TOPICS = TopicNames("")
RAW_HEADERS = RawHeaders(
    request_id="00000000-0000-4000-8000-000000000000",
    endpoint="call-started",
    received_at="2026-01-02T15:00:00.000Z",
    auth_scheme="hmac",
    auth_key_id="one",
    content_type="application/json",
)
EVENT_TYPES = list(EventType)


def one_input(data: bytes) -> None:
    """Try one input; an exception is a finding."""
    if not data:
        return
    if data[0] % 2:
        try_stranger(data[1:])
    else:
        try_body(EVENT_TYPES[data[0] // 2 % len(EVENT_TYPES)], data[1:])


def try_stranger(data: bytes) -> None:
    """Headers and a body from outside: admitted only with a right signature or token."""
    signatures, authorizations, body = split(data)
    outcome = AUTHENTICATOR.authenticate(signatures, authorizations, body)
    admitted = isinstance(outcome, Authenticated)
    if admitted != may_enter(signatures, authorizations, body):
        raise AssertionError(f"admitted: {admitted}")


def try_body(event_type: EventType, body: bytes) -> None:
    """An authentic body: it has a place, under a usable key, with its bytes unchanged and room for its headers."""
    accepted = accept(event_type, body)
    record = record_of(accepted, body, RAW_HEADERS.encode(), TOPICS)
    if record.value != body or sum(len(name) + len(value) for name, value in record.headers) > MAX_MESSAGE_BYTES // 2:
        raise AssertionError("the record is not the body with small headers")
    match accepted:
        case ToRaw(call_id=call_id):
            if record.topic != TOPICS.raw or not is_id(call_id) or record.key != call_id.encode():
                raise AssertionError("a raw record without a usable key")
        case ToDeadLetter():
            if record.topic != TOPICS.dead_letter or record.key is not None:
                raise AssertionError("a dead letter with a key")


def split(data: bytes) -> tuple[list[str], list[str], bytes]:
    """Lines of headers, as aiohttp decodes them, up to an empty one; what follows is the body."""
    head, _, body = data.partition(b"\n\n")
    signatures, authorizations = [], []
    for line in head.split(b"\n"):
        value = line[1:].decode("utf-8", "surrogateescape")
        if line.startswith(b"S"):
            signatures.append(value)
        elif line.startswith(b"R"):  # a right signature, so that the fuzzer gets beyond it
            signatures.append(value + hmac.new(SECRETS[0].value, body, hashlib.sha256).hexdigest())
        elif line.startswith((b"B", b"U")):  # the same in Base64 and Base64url
            encode = base64.b64encode if line.startswith(b"B") else base64.urlsafe_b64encode
            signatures.append(value + encode(hmac.digest(SECRETS[1].value, body, hashlib.sha256)).decode())
        elif line.startswith(b"A"):
            authorizations.append(value)
    return signatures, authorizations, body


def may_enter(signatures: list[str], authorizations: list[str], body: bytes) -> bool:
    """The contract, word for word and slowly: one signature of any active secret, or else one active token."""
    if signatures:
        digests = [hmac.digest(secret.value, body, hashlib.sha256) for secret in SECRETS]
        return len(signatures) == 1 and any(
            signatures[0] in (prefix + right for prefix in ("", "sha256="))
            for digest in digests
            for right in [*cases(digest.hex(), signatures[0]), *base64_spellings(digest)]
        )
    scheme, _, token = (authorizations or [""])[0].partition(" ")
    return (
        len(authorizations) == 1
        and scheme.lower() == "bearer"
        and token.strip(" ") in [token.value.decode() for token in TOKENS]
    )


def cases(spelled: str, presented: str) -> list[str]:
    """Hex in any case: the spelling that was presented, if it is one of this digest."""
    tail = presented[-len(spelled) :]
    return [tail] if tail.isascii() and tail.lower() == spelled else []


def base64_spellings(digest: bytes) -> list[str]:
    """Base64 and Base64url, with and without padding."""
    padded = [base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()]
    return [*padded, *(text.rstrip("=") for text in padded)]


def main() -> None:
    """Hand over to libFuzzer, which ends the process."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
