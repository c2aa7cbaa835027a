"""Who may send, written a second time and another way: what the authenticator is held against."""

import hashlib
import hmac
import string
from collections.abc import Mapping, Sequence

_HEX = set(string.hexdigits)


def model(
    secrets: Mapping[str, bytes],
    tokens: Mapping[str, bytes],
    signatures: Sequence[str],
    authorizations: Sequence[str],
    body: bytes,
) -> str | None:
    """The id of the credential that proves the sender, or None; credentials must differ from each other."""
    if signatures:
        [signature, *more] = signatures
        wanted = signature[7:] if signature[:7] == "sha256=" else signature
        if more or len(wanted) != 64 or not set(wanted) <= _HEX:
            return None
        return next((name for name, key in secrets.items() if _sign(key, body) == wanted.lower()), None)
    if len(authorizations) != 1:
        return None
    words = [word for word in authorizations[0].split(" ") if word]
    if len(words) != 2 or authorizations[0].startswith(" ") or words[0].lower() != "bearer":
        return None
    return next((name for name, token in tokens.items() if token.decode() == words[1]), None)


def _sign(key: bytes, body: bytes) -> str:
    return hmac.digest(key, body, hashlib.sha256).hex()
