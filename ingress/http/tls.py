"""Gives the public port TLS, with certificates that are renewed while it serves."""

import ssl
from pathlib import Path

from ingress.metrics import IngressMetrics
from runtime.errors import RefusedError
from runtime.logs import logger
from runtime.watch import watch_files

log = logger(__name__)


class Tls:
    """Holds the context of the server's connections: TLS 1.2 and later, the certificate as it is in the files."""

    def __init__(self, cert_file: Path, key_file: Path, metrics: IngressMetrics) -> None:
        """Load both files (PEM; the certificate with its chain).

        Raises:
            RefusedError: they cannot be read, or do not belong together.
        """
        self._files = cert_file, key_file
        self._metrics = metrics
        try:
            self.context = _context(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise RefusedError(f"the certificate {cert_file} with the key {key_file}: {_reason(error)}") from error

    async def watch(self) -> None:
        await watch_files(self._files, self.reload)

    def reload(self) -> None:
        """Use what the files hold for new connections; what is of no use leaves the old certificate active."""
        try:
            _context(*self._files)  # a failure on the live context would leave it with half of a pair
            self.context.load_cert_chain(*self._files, password=b"")
        except (OSError, ssl.SSLError) as error:
            self._metrics.certificates_reloaded.labels("refused").inc()
            log.warning("certificate.refused", reason=_reason(error), kept="the certificate before the change")
            return
        self._metrics.certificates_reloaded.labels("loaded").inc()
        log.info("certificate.loaded")


def _context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # No password: OpenSSL would ask for one on the terminal.
    context.load_cert_chain(cert_file, key_file, password=b"")
    return context


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror
    return str(reason or error)
