"""Manifests as kustomize builds them, and questions that tests ask of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from ingress.settings import IngressSettings
from ops.kit.settings import GroupSettings
from processors.settings import ProcessorSettings, RawLogSettings
from runtime.settings import DatabaseSettings, KafkaSettings, Settings
from tests.unit.deploy.tools import ROOT, found, needed, output

K8S = ROOT / "deploy" / "k8s"
HOW = "install kubectl, or kustomize, or Go with which make check builds it"


class OperatorSettings(RawLogSettings, DatabaseSettings, GroupSettings):
    """What commands of ringover-ops read, together."""


SETTINGS: Mapping[tuple[str, ...], type[Settings]] = {
    ("ringover-ingress",): IngressSettings,
    ("ringover-processor",): ProcessorSettings,
    ("ringover-ops", "migrate"): DatabaseSettings,
    ("ringover-ops", "topics", "apply"): KafkaSettings,
    ("python", "-c", "import signal; signal.pause()"): OperatorSettings,  # ringover-ops is called in it
}
_UNITS = {"": 1, "Mi": 1024**2, "Gi": 1024**3}

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod template with its only container, and the settings of the program that it runs."""

    manifest: Manifest
    pod: Manifest
    container: Manifest

    @property
    def name(self) -> str:
        """Of the Deployment, StatefulSet or Job."""
        return str(self.manifest["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        return dict(self.manifest["spec"]["template"]["metadata"]["labels"])

    @property
    def settings(self) -> type[Settings]:
        """What its program reads."""
        return SETTINGS[tuple(self.container["command"])]

    @property
    def secrets(self) -> dict[str, tuple[str, str]]:
        """Name and key of the secret behind each file that is mounted."""
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        return {
            f"{mounts[volume['name']]}/{item['path']}": (source["secret"]["name"], item["key"])
            for volume in self.pod["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
            for item in source["secret"]["items"]
        }


@cache
def built(directory: str) -> tuple[Manifest, ...]:
    """The manifests of a kustomization, below deploy/k8s."""
    kubectl = found("kubectl")
    command = (kubectl, "kustomize") if kubectl else (needed("kustomize", how=HOW), "build")
    return tuple(yaml.safe_load_all(output([*command, K8S / directory])))


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """Those of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def workloads(manifests: tuple[Manifest, ...]) -> dict[str, Workload]:
    """Everything that runs, by name."""
    found_here = {}
    for manifest in of_kind(manifests, "StatefulSet", "Deployment", "Job"):
        pod = manifest["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "initContainers" not in pod
        found_here[manifest["metadata"]["name"]] = Workload(manifest, pod, container)
    return found_here


def environment(workload: Workload, manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """The variables that its program sees."""
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind(manifests, "ConfigMap")}
    given: dict[str, str] = {}
    for source in workload.container.get("envFrom", ()):
        given |= maps[source["configMapRef"]["name"]]
    return given | {entry["name"]: entry["value"] for entry in workload.container.get("env", ())}


def matches(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; an empty one selects everything."""
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def quantity(text: str) -> int:
    """Bytes of `768Mi`."""
    parsed = re.fullmatch(r"(\d+)(\D*)", text)
    assert parsed is not None
    return int(parsed[1]) * _UNITS[parsed[2]]


def selectors(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Whatever selects pods, with its selector."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        match manifest["kind"]:
            case "Service":
                yield name, {"matchLabels": manifest["spec"]["selector"]}
            case "NetworkPolicy":
                yield name, manifest["spec"]["podSelector"]
            case "PodDisruptionBudget" | "PodMonitor":
                yield name, manifest["spec"]["selector"]
            case "StatefulSet" | "Deployment":
                yield name, manifest["spec"]["selector"]
                for constraint in manifest["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
                    yield f"{name}: {constraint['topologyKey']}", constraint["labelSelector"]
            case _:
                pass
