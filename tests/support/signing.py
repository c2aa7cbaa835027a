"""The signature that an ingress of the tests expects of a webhook."""

import hashlib
import hmac

SECRET = b"a-secret-of-the-tests"


def signature(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()
