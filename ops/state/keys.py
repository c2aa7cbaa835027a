"""From what an operator has in hand, an idempotency key, to the claim keys it may mean: pure."""

from ops.kit.errors import UsageError
from schemas.events import EventType
from schemas.identity import SOURCE, ClaimKey, claim_key


def candidates(key: str) -> list[ClaimKey]:
    """Every claim key that `key` may stand for: itself, and each way to read it as a published key.

    A published key with a part runs call id and the part's id together with `:`, which either may contain, so every
    colon is tried.

    Raises:
        UsageError: it is no idempotency key at all.
    """
    source, _, rest = key.partition(":")
    name, _, ids = rest.partition(":")
    if source != SOURCE or name not in set(EventType) or not ids:
        names = ", ".join(EventType)
        raise UsageError(f"not an idempotency key: write {SOURCE}:<event>:<call.id>, with one of the events {names}")
    found = {ClaimKey(key): None}
    found.update(dict.fromkeys(_readings(EventType(name), ids)))
    return list(found)


def _readings(event_type: EventType, ids: str) -> list[ClaimKey]:
    if event_type.part is None:
        return [claim_key(event_type, ids)]
    words = ids.split(":")
    splits = ((":".join(words[:cut]), ":".join(words[cut:])) for cut in range(1, len(words)))
    return [claim_key(event_type, call, part) for call, part in splits if call and part]
