"""The Kubernetes manifests, as kustomize builds them: valid, and true of the programs that they run."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from pydantic import SecretStr

from deploy.k8s import generate
from deploy.kafka import acls
from ingress.http import server
from ingress.kafka import publisher as kafka
from ingress.settings import IngressSettings
from processors.settings import ProcessorSettings
from runtime.kafka import STOP_SECONDS
from runtime.settings import KafkaSettings
from schemas.topics import RAW, TOPICS, TopicNames
from tests.unit.deploy.manifests import (
    K8S,
    Manifest,
    Workload,
    built,
    environment,
    matches,
    of_kind,
    quantity,
    selectors,
    workloads,
)
from tests.unit.deploy.observability import DIRECTORY, read
from tests.unit.deploy.tools import ROOT

OVERLAYS = ["overlays/production", "overlays/development"]
PROGRAMS = ["ringover-ingress", "ringover-processor", "ringover-migrate", "ringover-topics"]
OPERATOR = "ringover-ops"
# Of operators, whose schemas come with no package: `make verify-kubernetes` has their definitions.
WITHOUT_SCHEMA = {"KafkaTopic", "KafkaUser", "ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
KUBERNETES = "1.34"
MIB = 1024**2
SLOW_DISK_BYTES_PER_SECOND = 30_000_000
# The content of a mounted secret, by its key; none is a real one.
CONTENT = {"hmac-secrets": "a:b", "url": "postgresql://user:word@db/ringover", "password": "word", "ca.crt": "PEM"}

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_program = pytest.mark.parametrize(
    ("overlay", "program"),
    [(overlay, program) for overlay in OVERLAYS for program in PROGRAMS] + [(OVERLAYS[0], OPERATOR)],
)


def errors_of(manifest: Manifest) -> str | None:
    """What is wrong with a manifest by Kubernetes' own schema."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return None if manifest["kind"] in WITHOUT_SCHEMA else f"{manifest['kind']} is no kind of Kubernetes"
    except kubernetes_validate.ValidationError as error:
        return f"{manifest['kind']} {manifest['metadata']['name']}: {error.message}"
    return None


def load(workload: Workload, overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The settings as the program reads them in its container, with files in place of those that are mounted."""
    for name in (*IngressSettings.model_fields, *ProcessorSettings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    for name, value in environment(workload, built(overlay)).items():
        if value in workload.secrets:
            file = tmp_path / Path(value).name
            file.write_text(CONTENT[workload.secrets[value][1]])
            monkeypatch.setenv(name, str(file))
        else:
            monkeypatch.setenv(name, value)
    return workload.settings()


@pytest.mark.parametrize("path", generate.files(), ids=lambda path: path.name)
def test_generated_manifests_are_those_of_their_sources(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.files()[path], "run `make deploy-files`"


@pytest.mark.parametrize("directory", [*OVERLAYS, "strimzi"])
def test_manifests_are_valid(directory: str) -> None:
    assert [error for error in map(errors_of, built(directory)) if error] == []


def test_a_misspelt_field_is_noticed() -> None:
    (budget, *_) = of_kind(built(OVERLAYS[0]), "PodDisruptionBudget")
    wrong = {**budget, "spec": {**budget["spec"], "maxUnavailible": 1}}

    assert errors_of(budget) is None
    assert errors_of(wrong) is not None


@each_program
def test_the_program_starts_with_its_settings(
    overlay: str, program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workload = workloads(built(overlay))[program]

    settings = load(workload, overlay, monkeypatch, tmp_path)

    ports = {port["name"]: port["containerPort"] for port in workload.container.get("ports", ())}
    if isinstance(settings, IngressSettings):
        assert ports == {"http": settings.ingress_port, "admin": settings.ingress_admin_port}
    elif isinstance(settings, ProcessorSettings):
        assert ports == {"admin": settings.processor_admin_port}
    else:
        assert ports == {}


@each_program
def test_every_variable_is_a_setting_and_every_file_is_mounted(overlay: str, program: str) -> None:
    workload = workloads(built(overlay))[program]
    fields = workload.settings.model_fields
    own = {entry["name"]: entry["value"] for entry in workload.container["env"]} if "env" in workload.container else {}
    shared = environment(workload, built(overlay)).keys() - own.keys()
    everywhere = {*IngressSettings.model_fields, *ProcessorSettings.model_fields}

    assert {
        name for name in own if name.lower() not in fields and name.removesuffix("_FILE").lower() not in fields
    } == set()
    assert {name for name in shared if name.lower() not in everywhere} == set()
    files = {value for name, value in own.items() if name.endswith("_FILE")}
    assert files <= workload.secrets.keys()
    unused = workload.secrets.keys() - files
    assert unused <= {"/run/secrets/ringover/database-ca.crt"}  # sslrootcert in DATABASE_URL names it


@each_program
def test_secrets_are_files_and_nowhere_inline(overlay: str, program: str) -> None:
    workload = workloads(built(overlay))[program]
    secret = {
        name
        for name, field in workload.settings.model_fields.items()
        if SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ()))
    }

    assert of_kind(built(overlay), "Secret") == []
    assert [entry for entry in workload.container.get("env", ()) if "valueFrom" in entry] == []
    assert {name for name in environment(workload, built(overlay)) if name.lower() in secret} == set()
    readme = (K8S / "README.md").read_text(encoding="utf-8")
    assert [one for one in workload.secrets.values() if f"| `{one[0]}` | `{one[1]}` |" not in readme] == []


@each_program
def test_pods_may_do_as_little_as_possible(overlay: str, program: str) -> None:
    workload = workloads(built(overlay))[program]
    pod, container = workload.pod["securityContext"], workload.container["securityContext"]

    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, 10001, 10001)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert workload.pod["automountServiceAccountToken"] is False
    assert workload.pod["enableServiceLinks"] is False
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(workload.pod)
    assert all(volume.keys() & {"projected", "emptyDir"} for volume in workload.pod["volumes"])
    (namespace,) = of_kind(built(overlay), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_an_ingress_has_time_to_drain(overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workload = workloads(built(overlay))["ringover-ingress"]
    settings = load(workload, overlay, monkeypatch, tmp_path)

    before = workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = settings.ingress_leave_seconds + settings.ingress_drain_seconds
    after = server.CLOSE_SECONDS + kafka.FLUSH_SECONDS + kafka.STOP_SECONDS
    assert workload.pod["terminationGracePeriodSeconds"] >= before + drain + after + 5


@each_overlay
def test_a_processor_has_time_to_let_go(overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workload = workloads(built(overlay))["ringover-processor"]
    settings = load(workload, overlay, monkeypatch, tmp_path)

    # Once for transactions to end, once more for those that were cancelled; then two consumers, and the pool in 2 s.
    needs = 2 * settings.processor_drain_seconds + 2 * STOP_SECONDS + 2
    assert workload.pod["terminationGracePeriodSeconds"] >= needs + 5


@each_overlay
def test_an_ingress_has_the_memory_that_its_limits_allow(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workload = workloads(built(overlay))["ringover-ingress"]
    settings = load(workload, overlay, monkeypatch, tmp_path)

    # docs/design.md, "Overload"; a container pays for its sockets' buffers in the kernel, too.
    connections = settings.ingress_max_connections
    bound = 96 * MIB + connections * (64 + 128) * 1024 + 3 * settings.ingress_max_buffered_bytes
    assert quantity(workload.container["resources"]["limits"]["memory"]) >= bound


@each_overlay
def test_the_spool_is_on_a_volume_with_room(overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workload = workloads(built(overlay))["ringover-ingress"]
    settings = load(workload, overlay, monkeypatch, tmp_path)
    (claim,) = workload.manifest["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in workload.container["volumeMounts"]}

    mounted = Path(mounts[claim["metadata"]["name"]])
    assert settings.ingress_spool_dir is not None
    assert mounted in settings.ingress_spool_dir.parents
    room = quantity(claim["spec"]["resources"]["requests"]["storage"])
    assert room >= 1.5 * settings.ingress_spool_max_bytes + 50 * MIB  # docs/runbook.md, "The spool fills"


@each_overlay
def test_a_full_spool_can_be_read_before_the_start_has_to_be_over(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workload = workloads(built(overlay))["ringover-ingress"]
    settings = load(workload, overlay, monkeypatch, tmp_path)
    probe = workload.container["startupProbe"]

    # Checked, then counted, and only then is there an admin port. The file is an eighth larger than what counts.
    reading = 2 * 1.125 * settings.ingress_spool_max_bytes / SLOW_DISK_BYTES_PER_SECOND
    assert probe["periodSeconds"] * probe["failureThreshold"] >= reading


@each_overlay
def test_who_must_be_spread_goes_on_when_a_node_is_closed(overlay: str) -> None:
    hard = [
        constraint
        for workload in workloads(built(overlay)).values()
        for constraint in workload.pod.get("topologySpreadConstraints", ())
        if constraint["whenUnsatisfiable"] == "DoNotSchedule"
    ]

    # Otherwise a node with a taint (a control plane, one that is emptied, one that is lost) counts as one that has none
    # of the pods, and no other node gets a second one.
    assert [constraint["nodeTaintsPolicy"] for constraint in hard] == ["Honor"]


@each_overlay
def test_every_selector_selects_something(overlay: str) -> None:
    pods = [workload.labels for workload in workloads(built(overlay)).values()]

    found = list(selectors(built(overlay)))
    assert [name for name, selector in found if not any(matches(selector, labels) for labels in pods)] == []
    assert len(found) >= 12


@each_overlay
def test_ports_by_name_are_ports_of_the_container(overlay: str) -> None:
    for workload in workloads(built(overlay)).values():
        names = {port["name"] for port in workload.container.get("ports", ())}
        probes = [workload.container[key] for key in workload.container if key.endswith("Probe")]
        assert {probe["httpGet"]["port"] for probe in probes} <= names & {"admin"}
        if names:
            paths = {
                key: workload.container[key]["httpGet"]["path"] for key in workload.container if key.endswith("Probe")
            }
            assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for one in of_kind(built(overlay), "Service"):
        selected = [
            w for w in workloads(built(overlay)).values() if matches({"matchLabels": one["spec"]["selector"]}, w.labels)
        ]
        offered = {port["name"] for workload in selected for port in workload.container["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= offered


def reachable(overlay: str, workload: Workload) -> set[int]:
    """The ports that policies let its pods connect to."""
    policies = [policy["spec"] for policy in of_kind(built(overlay), "NetworkPolicy")]
    return {
        port["port"]
        for policy in policies
        if matches(policy["podSelector"], workload.labels)
        for rule in policy.get("egress", ())
        for port in rule["ports"]
    }


@each_program
def test_a_pod_reaches_the_servers_of_its_program_and_no_others(overlay: str, program: str) -> None:
    workload = workloads(built(overlay))[program]
    variables = environment(workload, built(overlay))

    needs = {53}
    if issubclass(workload.settings, KafkaSettings):
        needs.add(int(variables["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]))
    if "database_url" in workload.settings.model_fields:
        needs.add(5432)
    assert reachable(overlay, workload) == needs
    denied = [p["spec"] for p in of_kind(built(overlay), "NetworkPolicy") if p["metadata"]["name"] == "default-deny"]
    assert denied == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


def test_processors_are_scaled_by_the_lag_that_they_work_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    overlay = "overlays/production"
    workload = workloads(built(overlay))["ringover-processor"]
    settings = load(workload, overlay, monkeypatch, tmp_path)
    (scaled,) = of_kind(built(overlay), "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]

    assert scaled["spec"]["scaleTargetRef"]["name"] == workload.name
    assert 2 <= scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"] <= RAW.partitions
    assert scaled["spec"]["fallback"]["replicas"] <= scaled["spec"]["maxReplicaCount"]
    assert scaled["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
    asked = trigger["metadata"]
    assert asked["topic"] == TopicNames(settings.kafka_topic_prefix).raw
    assert asked["consumerGroup"] == settings.processor_group
    assert asked["bootstrapServers"] == settings.kafka_bootstrap_servers
    assert asked["offsetResetPolicy"] == "earliest"
    assert asked["allowIdleConsumers"] == "false"


def test_whoever_is_scaled_has_no_number_of_its_own() -> None:
    manifests = built("overlays/production")
    by_name = {workload.name: workload.manifest["spec"] for workload in workloads(manifests).values()}
    scaled = [
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler")
    ]

    assert sorted(scaled) == ["ringover-ingress", "ringover-processor"]
    assert [name for name in scaled if "replicas" in by_name[name]] == []


def test_the_users_are_those_of_the_programs_and_may_what_the_acls_say() -> None:
    manifests = built("overlays/production")
    users = {
        user["metadata"]["name"]: user["spec"]["authorization"]["acls"]
        for user in of_kind(built("strimzi"), "KafkaUser")
    }

    (asking,) = [
        m["data"]["username"] for m in of_kind(manifests, "ConfigMap") if m["metadata"]["name"] == "ringover-lag"
    ]
    runs_as = {
        environment(workload, manifests).get("KAFKA_SASL_USERNAME") for workload in workloads(manifests).values()
    }
    assert {asking, *runs_as} - {None} <= users.keys()
    assert users.keys() == {acl.principal for acl in acls.read()} - generate.EXAMPLES
    rules = [(name, rule["resource"]["name"], *rule["operations"]) for name, rules in users.items() for rule in rules]
    assert sorted(rules) == sorted(
        (acl.principal, acl.name, *acl.operations) for acl in acls.read() if acl.principal in users
    )


def test_the_topics_are_those_of_the_registry_and_survive_the_loss_of_a_broker() -> None:
    topics = {topic["metadata"]["name"]: topic["spec"] for topic in of_kind(built("strimzi"), "KafkaTopic")}

    assert topics.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        found = topics[topic.name]
        assert (found["partitions"], found["replicas"]) == (topic.partitions, 3)
        assert found["config"] == topic.config | {"min.insync.replicas": "2"}


def test_metrics_come_under_the_names_that_the_rules_ask_for() -> None:
    manifests = built("overlays/production")
    jobs = {scrape["job_name"] for scrape in read(DIRECTORY / "prometheus.yml")["scrape_configs"]}
    monitors = of_kind(manifests, "PodMonitor")

    named = set()
    for monitor in monitors:
        (selected,) = [w for w in workloads(manifests).values() if matches(monitor["spec"]["selector"], w.labels)]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in selected.container["ports"]}
        named.add(selected.labels[monitor["spec"]["jobLabel"]])
    assert named == jobs


@each_overlay
def test_one_image_with_a_version(overlay: str) -> None:
    (image,) = {workload.container["image"] for workload in workloads(built(overlay)).values()}

    name, _, tag = image.partition(":")
    assert name.endswith("ringover-events")
    assert tag not in {"", "latest"}


def test_nothing_names_a_kustomization_that_is_not_there() -> None:
    for path in K8S.rglob("kustomization.yaml"):
        document = read(path)
        for entry in (*document.get("resources", ()), *document.get("components", ())):
            assert (path.parent / entry).exists(), f"{path.relative_to(ROOT)}: {entry}"
