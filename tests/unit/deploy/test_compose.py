"""docker-compose.yml, without a daemon: what it says of our programs is true; nothing in it is secret or floating."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingress.settings import IngressSettings
from ops.kit.settings import GroupSettings, SenderSettings
from processors.settings import ProcessorSettings
from runtime.probe import PORTS
from runtime.settings import DatabaseSettings, KafkaSettings, Settings
from sandbox.devstack.maven import ROOTS
from schemas.topics import TOPICS
from tests.support.infrastructure import KAFKA_IMAGE, POSTGRES_IMAGE

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"roles", "migrate", "grants", "topics", "ops"}
# What each of our programs reads; `ops` commands together.
SETTINGS: dict[str, tuple[type[Settings], ...]] = {
    "ingress": (IngressSettings,),
    "processor": (ProcessorSettings,),
    "migrate": (DatabaseSettings,),
    "topics": (KafkaSettings,),
    "ops": (KafkaSettings, DatabaseSettings, SenderSettings, GroupSettings),
}
CLOSING_SECONDS = 12  # of a processor: it leaves the group and closes two consumers (5 s each) and its pool (2 s)
MIB = 1024**2
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|DATABASE_URL")


def seconds(text: str) -> float:
    """The length of `30s`."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return float(found[1])


def fields(service: str) -> Mapping[str, Any]:
    """The settings that a program has, by the names of their variables."""
    return {name.upper(): field for settings in SETTINGS[service] for name, field in settings.model_fields.items()}


def test_our_services_are_the_ones_that_run_our_image() -> None:
    ours = {name for name, service in SERVICES.items() if "build" in service}

    assert ours == set(SETTINGS)
    assert {SERVICES[name]["image"] for name in ours} == {"${RINGOVER_IMAGE:-ringover-events:local}"}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting_and_every_required_setting_is_there(service: str) -> None:
    known = fields(service)
    given = {name.removesuffix("_FILE") if name not in known else name for name in SERVICES[service]["environment"]}

    assert given <= set(known)
    assert {name for name, field in known.items() if field.is_required()} <= given


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_come_as_files_that_the_service_has(service: str) -> None:
    environment: dict[str, str] = SERVICES[service].get("environment", {})
    mounted = {f"/run/secrets/{name}" for name in SERVICES[service].get("secrets", [])}

    assert [name for name in environment if SECRET.search(name) and not name.endswith("_FILE")] == []
    assert {value for value in environment.values() if value.startswith("/run/secrets/")} <= mounted
    assert "@" not in "".join(environment.values()).replace("1@localhost", "")  # user:password@host


def test_each_secret_is_made_by_the_script_and_kept_out_of_the_repository_and_of_the_image() -> None:
    script = (ROOT / "deploy/make-secrets.sh").read_text(encoding="utf-8")
    roles = re.findall(r"for role in ([a-z ]+); do", script)[0].split()
    made = set(re.findall(r"^keep ([a-z_]+) ", script, re.MULTILINE)) | {f"{role}_database_url" for role in roles}

    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == {n: f"./secrets/{n}" for n in made}
    assert "/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "*" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("service", SERVICES)
def test_it_tells_its_health_or_ends_by_itself(service: str) -> None:
    found = SERVICES[service]

    assert ("healthcheck" in found) == (service not in ONE_SHOT)
    assert found["restart"] == ("no" if service in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("service", ["ingress", "processor"])
def test_health_is_readiness_by_our_own_probe(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"] == ["CMD", "python", "-m", "runtime.probe", "/readyz"]
    assert not set(PORTS) & set(SERVICES[service]["environment"])  # it asks the default ports


@pytest.mark.parametrize("service", SERVICES)
def test_what_it_waits_for_can_come(service: str) -> None:
    for other, condition in SERVICES[service].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert condition == {"condition": wanted}
        assert SERVICES[other].get("profiles", []) in ([], SERVICES[service].get("profiles", []))


def test_programs_begin_when_topics_tables_and_rights_are_there() -> None:
    assert set(SERVICES["ingress"]["depends_on"]) == {"topics"}
    assert set(SERVICES["processor"]["depends_on"]) == {"topics", "grants"}
    assert set(SERVICES["grants"]["depends_on"]) == {"migrate"}


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_to_a_release(service: str) -> None:
    image = SERVICES[service]["image"]

    assert image.startswith("${RINGOVER_IMAGE") or re.search(r":v?\d+\.\d+", image), image


def test_servers_are_the_ones_of_the_tests() -> None:
    assert SERVICES["kafka"]["image"] == KAFKA_IMAGE == f"apache/kafka:{ROOTS[0].rpartition(':')[2]}"
    assert SERVICES["postgres"]["image"].startswith(f"{POSTGRES_IMAGE}.")
    assert SERVICES["roles"]["image"] == SERVICES["grants"]["image"] == SERVICES["postgres"]["image"]


def test_each_has_the_time_to_end_in_order() -> None:
    ingress, processor = IngressSettings.model_fields, ProcessorSettings.model_fields
    steps = ("ingress_leave_seconds", "ingress_drain_seconds", "ingress_publish_timeout_seconds")
    drain = sum(ingress[step].default for step in steps)
    leave = processor["processor_drain_seconds"].default + CLOSING_SECONDS

    assert seconds(SERVICES["ingress"]["stop_grace_period"]) >= drain + 5
    assert seconds(SERVICES["processor"]["stop_grace_period"]) >= leave + 5


def test_an_ingress_has_the_memory_that_its_limits_allow() -> None:
    connections = int(SERVICES["ingress"]["environment"]["INGRESS_MAX_CONNECTIONS"])
    buffered = IngressSettings.model_fields["ingress_max_buffered_bytes"].default

    # docs/design.md, "Overload"; a container pays for its sockets' buffers in the kernel, too.
    bound = 96 * MIB + connections * (64 + 128) * 1024 + 3 * buffered
    assert SERVICES["ingress"]["mem_limit"] == "512m"
    assert bound <= 512 * MIB


@pytest.mark.parametrize("service", [*SETTINGS, "roles", "grants"])
def test_ours_run_with_nothing_to_spare(service: str) -> None:
    found = SERVICES[service]

    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["user"] == ("10001:10001" if service in SETTINGS else "postgres")


def test_only_webhooks_can_be_offered_to_other_machines() -> None:
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}

    assert published.pop("ingress") == "${RINGOVER_ADDRESS:-127.0.0.1}:${RINGOVER_PORT:-8080}:8080"
    assert [name for name, port in published.items() if not port.startswith("127.0.0.1:")] == []
    assert "postgres" not in published


def test_kafka_makes_no_topic_by_itself_and_none_is_listed_here() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert SERVICES["topics"]["command"] == ["ringover-ops", "topics", "apply"]
    assert [topic.name for topic in TOPICS if topic.name in TEXT] == []


def test_data_is_on_volumes() -> None:
    mounts = {name: SERVICES[name]["volumes"][0] for name in ("kafka", "postgres", "ingress")}

    assert mounts == {
        "kafka": f"kafka:{SERVICES['kafka']['environment']['KAFKA_LOG_DIRS']}",
        "postgres": "postgres:/var/lib/postgresql",
        "ingress": f"spool:{SERVICES['ingress']['environment']['INGRESS_SPOOL_DIR']}",
    }
    assert {mount.partition(":")[0] for mount in mounts.values()} <= set(COMPOSE["volumes"])


def test_what_is_mounted_from_the_repository_is_there() -> None:
    sources = {
        ROOT / mount.partition(":")[0]
        for service in SERVICES.values()
        for mount in service.get("volumes", [])
        if mount.startswith("./")
    }

    assert len(sources) > 3
    assert [str(source) for source in sources if not source.exists()] == []
