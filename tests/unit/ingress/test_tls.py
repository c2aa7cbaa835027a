"""TLS of the public port, on real handshakes."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry

from ingress.http.tls import Tls
from ingress.metrics import IngressMetrics
from runtime.errors import RefusedError
from tests.unit.ingress.serving import BODY, STARTED_PATH, Raw, Serving, serving, signed, signed_head


@dataclass
class Files:
    """A certificate and its key on disk."""

    cert: Path
    key: Path

    def write(self, issued: trustme.LeafCert) -> None:
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    found = Files(tmp_path / "cert.pem", tmp_path / "key.pem")
    found.write(authority.issue_cert("127.0.0.1"))
    return found


@asynccontextmanager
async def tls_serving(files: Files) -> AsyncIterator[tuple[Serving, Tls]]:
    tls = Tls(files.cert, files.key, IngressMetrics(CollectorRegistry()))
    async with serving(tls=tls.context) as server:
        yield server, tls


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def serial(server: Serving, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    try:
        return str(writer.get_extra_info("peercert")["serialNumber"])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_webhook_over_tls_is_stored(files: Files, authority: trustme.CA) -> None:
    async with tls_serving(files) as (server, _), aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{server.port}{STARTED_PATH}"
        async with session.post(url, data=BODY, headers=signed(), ssl=trusting(authority)) as response:
            assert response.status == 202

        assert [stored[2] for stored in server.raw] == [BODY]


async def test_a_renewed_certificate_is_for_new_connections_and_old_ones_stay(
    files: Files, authority: trustme.CA
) -> None:
    context = trusting(authority)
    async with tls_serving(files) as (server, tls):
        before = await serial(server, context)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        open_one = Raw(reader, writer)
        await open_one.send(signed_head(BODY, f"Content-Length: {len(BODY)}") + BODY)
        assert (await open_one.answer()).status == 202
        files.write(authority.issue_cert("127.0.0.1"))
        tls.reload()

        assert await serial(server, context) != before
        await open_one.send(signed_head(BODY, f"Content-Length: {len(BODY)}") + BODY)
        assert (await open_one.answer()).status == 202
        writer.close()


async def test_files_of_no_use_leave_the_certificate_before_active(
    files: Files, authority: trustme.CA, tmp_path: Path
) -> None:
    other = Files(tmp_path / "other.pem", tmp_path / "other.key")
    other.write(authority.issue_cert("127.0.0.1"))
    spoilt = [b"", b"no certificate", other.cert.read_bytes()]  # the last one belongs to another key
    async with tls_serving(files) as (server, tls):
        before = await serial(server, trusting(authority))
        for content in spoilt:
            files.cert.write_bytes(content)
            tls.reload()
            assert await serial(server, trusting(authority)) == before
        files.cert.unlink()
        tls.reload()

        assert await serial(server, trusting(authority)) == before


async def test_plain_http_on_the_port_gets_no_answer(files: Files) -> None:
    async with tls_serving(files) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /wh/ringover/call-started HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()

        assert b"HTTP/1.1" not in answer
        assert server.nothing_stored


async def test_protocols_before_tls_1_2_are_refused(files: Files, authority: trustme.CA) -> None:
    old = trusting(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with tls_serving(files) as (server, _):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serial(server, old)
        assert await serial(server, trusting(authority))  # the same server, with a protocol of today


@pytest.mark.parametrize("content", [b"", b"no key"])
def test_a_key_of_no_use_refuses_the_start_and_names_the_files(files: Files, content: bytes) -> None:
    files.key.write_bytes(content)

    with pytest.raises(RefusedError, match=r"cert\.pem with the key .*key\.pem"):
        Tls(files.cert, files.key, IngressMetrics(CollectorRegistry()))


def test_an_encrypted_key_is_refused_and_nobody_is_asked(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )

    with pytest.raises(RefusedError):
        Tls(files.cert, files.key, IngressMetrics(CollectorRegistry()))
