"""Asks a broker whether it is ready, without an event loop: by aiokafka's protocol, not its client.

The client is bound to an event loop and follows the advertised address, which may be a proxy that is
not up yet.
"""

import socket
import ssl
import struct
from io import BytesIO
from typing import Any

from aiokafka.protocol.admin import ApiVersionRequest_v0
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.metadata import MetadataRequest_v1

TIMEOUT_SECONDS = 1.0
LENGTH = struct.Struct(">i")
CORRELATION_ID_BYTES = 4


def is_ready(host: str, port: int, tls: ssl.SSLContext | None = None, *, node_id: int = 1) -> bool:
    """Whether the broker there speaks Kafka, has registered itself and knows the controller."""
    try:
        with _connected(host, port, tls) as connection:
            versions = _ask(connection, ApiVersionRequest_v0())
            metadata = _ask(connection, MetadataRequest_v1([]))
    except (OSError, EOFError):
        return False
    registered = any(broker[0] == node_id for broker in metadata.brokers)
    return versions.error_code == 0 and registered and metadata.controller_id >= 0


def _connected(host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
    return connection if tls is None else tls.wrap_socket(connection, server_hostname=host)


def _ask(connection: socket.socket, request: Any) -> Any:  # aiokafka's structs carry no types
    message = RequestHeader_v1(request).encode() + request.encode()
    connection.sendall(LENGTH.pack(len(message)) + message)
    (size,) = LENGTH.unpack(_read(connection, LENGTH.size))
    return request.RESPONSE_TYPE.decode(BytesIO(_read(connection, size)[CORRELATION_ID_BYTES:]))


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError("the broker closed the connection")
        data += chunk
    return data
