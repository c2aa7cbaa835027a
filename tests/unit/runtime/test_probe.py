"""The health check of a container."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from ingress.settings import IngressSettings
from processors.settings import ProcessorSettings
from runtime.probe import PORTS, main, ports_of, probe


class Admin(BaseHTTPRequestHandler):
    """Alive, and not ready."""

    def do_GET(self) -> None:
        ready = self.path == "/livez"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"ok\n" if ready else b"no broker answers\n")

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        return server.server_port


def test_the_program_that_runs_is_found_on_either_port(port: int, closed_port: int) -> None:
    assert probe("/livez", [closed_port, port]) is None


def test_a_program_that_is_not_ready_is_unhealthy_and_says_why(port: int) -> None:
    assert probe("/readyz", [port]) == f"port {port}: no broker answers"


def test_no_program_is_unhealthy(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    environment = dict.fromkeys(PORTS, str(closed_port))

    assert main([], environment) == 1
    assert "refused" in capsys.readouterr().err


def test_ports_are_those_of_the_programs() -> None:
    defaults = {
        name.upper(): field.default
        for settings in (IngressSettings, ProcessorSettings)
        for name, field in settings.model_fields.items()
        if name.endswith("admin_port")
    }
    assert defaults == PORTS
    assert ports_of({"INGRESS_ADMIN_PORT": "1"}) == [1, PORTS["PROCESSOR_ADMIN_PORT"]]


def test_as_a_command_it_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, runtime.probe; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )

    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == {"__main__", "runtime"}
