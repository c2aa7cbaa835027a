"""The programs of the world: the ingress and the processors, each with ways of its own to the servers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.devstack.ports import HOST
from sandbox.devstack.processes import Surroundings
from tests.chaos.units import Incarnation, Program
from tests.support.ports import stable_port
from tests.support.signing import SECRET

SESSION_SECONDS = 6  # short, so that a frozen processor becomes a zombie soon


@dataclass(frozen=True, slots=True)
class Ways:
    """Addresses as one program sees them."""

    bootstrap_servers: str
    database_url: str = ""


def ingress(ways: Ways, port: int, around: Surroundings, spool: Path | None) -> Program:
    """The ingress; its spool directory outlives it."""
    env = _common(ways) | {
        "INGRESS_HOST": HOST,
        "INGRESS_PORT": str(port),
        "INGRESS_HMAC_SECRETS": f"test:{SECRET.decode()}",
    }
    if spool is not None:
        env["INGRESS_SPOOL_DIR"] = str(spool)
    return _program("ingress", "ingress", "INGRESS_ADMIN_PORT", env, around)


def processor(name: str, ways: Ways, group: str, around: Surroundings) -> Program:
    """One processor."""
    env = _common(ways) | {
        "DATABASE_URL": ways.database_url,
        "PROCESSOR_HOST": HOST,
        "PROCESSOR_GROUP": group,
        "PROCESSOR_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    }
    return _program(name, "processors", "PROCESSOR_ADMIN_PORT", env, around)


def _common(ways: Ways) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": ways.bootstrap_servers, "LOG_LEVEL": "info"}


def _program(name: str, module: str, admin_variable: str, env: Mapping[str, str], around: Surroundings) -> Program:
    admin_port = stable_port()
    plain = Incarnation((module,), {**env, admin_variable: str(admin_port)})
    return Program(name, plain, admin_port=admin_port, around=around)
