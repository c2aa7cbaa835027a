"""Who may send, written a second time and another way: what the authenticator is held against."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence


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
        return None if more else next((name for name, key in secrets.items() if _spells(wanted, key, body)), None)
    if len(authorizations) != 1:
        return None
    words = [word for word in authorizations[0].split(" ") if word]
    if len(words) != 2 or authorizations[0].startswith(" ") or words[0].lower() != "bearer":
        return None
    return next((name for name, token in tokens.items() if token.decode() == words[1]), None)


def _spells(wanted: str, key: bytes, body: bytes) -> bool:
    """Whether it is one of the spellings of our own HMAC: they are all written out."""
    digest = hmac.digest(key, body, hashlib.sha256)
    padded = [encode(digest).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    hexadecimal = wanted.isascii() and wanted.lower() == digest.hex()
    return hexadecimal or wanted in padded or wanted in [text.removesuffix("=") for text in padded]
