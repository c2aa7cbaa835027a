"""Checks the health of a container that has no curl and needs no shell: `python -m runtime.probe [PATH]`.

Asks the admin ports of both programs on this host, of which one runs; healthy is who answers 200. The standard library
alone: a probe every few seconds must cost nothing to speak of.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence

PORTS = {"INGRESS_ADMIN_PORT": 9080, "PROCESSOR_ADMIN_PORT": 9081}  # the settings, with their defaults
SECONDS = 3.0


def probe(path: str, ports: Sequence[int]) -> str | None:
    """Ask the ports; None when a program answers 200 on one of them, else what they say."""
    problems = []
    for port in ports:
        try:
            status, text = _ask(port, path)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"port {port}: {error}")
            continue
        if status == http.client.OK:
            return None
        problems.append(f"port {port}: {text}")
    return "; ".join(problems)


def ports_of(environment: Mapping[str, str]) -> list[int]:
    """The admin ports that are set, or their defaults."""
    return [int(environment.get(name, default)) for name, default in PORTS.items()]


def _ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(1000).decode(errors="replace").strip()
    finally:
        connection.close()


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when healthy; otherwise 1, with the reason on stderr, where `docker inspect` shows it."""
    problem = probe(arguments[0] if arguments else "/livez", ports_of(environment))
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
