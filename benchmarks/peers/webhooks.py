"""Verifies a webhook and finds its key for every HTTP peer, and reads its settings."""

import hmac
import os

import orjson

HOST = "127.0.0.1"
PORT = int(os.environ.get("BENCH_PORT", "0"))
TOPIC = os.environ.get("BENCH_TOPIC", "")
BOOTSTRAP_SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
SECRET = os.environ.get("BENCH_SECRET", "").encode()
PATH = "/wh/ringover/call-started"
SIGNATURE = "X-Ringover-Signature"


def is_signed(body: bytes, signature: str) -> bool:
    """Whether `signature` is the HMAC-SHA256 of `body`, in hex."""
    return hmac.compare_digest(hmac.digest(SECRET, body, "sha256").hex(), signature)


def key_of(body: bytes) -> bytes:
    """The record's key: the body's call id.

    Raises:
        ValueError: not JSON.
        KeyError: no call id.
    """
    call_id: str = orjson.loads(body)["call"]["id"]
    return call_id.encode()
