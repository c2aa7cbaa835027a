"""Names who may send webhooks and who did, for every dialect. Pure.

Rotation: several secrets and several tokens are live at once.
"""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_TOKEN_CHARACTERS = 1024


class Scheme(StrEnum):
    """Names how a webhook proved its sender."""

    HMAC = "hmac"
    BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Credential:
    """Is one active secret or token; `key_id` is recorded with every event that it authenticated."""

    key_id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Says that the sender is known, by which scheme and which credential of it."""

    scheme: Scheme
    key_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Says that the sender is not known; `code` is stable, `detail` is for the sender's developer."""

    code: str
    detail: str
