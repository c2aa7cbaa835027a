"""Writes the definitions of the operators' objects into a directory, which must be there: `crds.py DIRECTORY`.

KEDA's and the Prometheus Operator's as their Go modules have them, Strimzi's as its own generator makes them from its
own classes. Each source is pinned by its hash.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.devstack.jarlock import parse_lock
from sandbox.devstack.maven import download
from sandbox.devstack.wheels import java

# Module and version, its hash as go.sum would have it, and the files.
MODULES = (
    (
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ),
    ),
)
STRIMZI = Path(__file__).with_name("strimzi-jars.lock")
MODELS = "io.strimzi.api.kafka.model"
KINDS = {"kafkatopics": f"{MODELS}.topic.KafkaTopic", "kafkausers": f"{MODELS}.user.KafkaUser"}


def from_modules(into: Path) -> None:
    """Copy the files of the Go modules."""
    for module, expected, files in MODULES:
        command = ["go", "mod", "download", "-json", module]
        done = subprocess.run(command, cwd=into, stdout=subprocess.PIPE, text=True, check=False)
        found = json.loads(done.stdout or "{}")
        if found.get("Sum") != expected:
            sys.exit(f"{module}: expected {expected}, got {found.get('Sum') or found.get('Error') or 'nothing'}")
        for file in files:
            shutil.copyfile(Path(found["Dir"], file), into / Path(file).name)


def from_strimzi(into: Path) -> None:
    """Let Strimzi's generator make its own."""
    with tempfile.TemporaryDirectory() as directory:
        jars = []
        for jar in parse_lock(STRIMZI.read_text(encoding="utf-8")):
            path = Path(directory, jar.filename)
            download(jar.coordinates, path)
            jar.verify(path)
            jars.append(str(path))
        wanted = [f"{name}={into / f'kafka.strimzi.io_{kind}.yaml'}" for kind, name in KINDS.items()]
        options = ["--yaml", "--api-versions", "v1", "--target-kube", "1.30+"]
        generator = "io.strimzi.crdgenerator.CrdGenerator"
        subprocess.run([java(), "-cp", ":".join(jars), generator, *options, *wanted], check=True)


def main(directory: str) -> None:
    """Both."""
    into = Path(directory).absolute()
    from_modules(into)
    from_strimzi(into)


if __name__ == "__main__":
    main(*sys.argv[1:])
