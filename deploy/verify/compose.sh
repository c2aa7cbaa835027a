#!/bin/bash
# Builds the image and runs docker-compose.yml for real, then takes everything down: as root, on Debian, 10 minutes.
#
#   deploy/verify/compose.sh                       # base images made here: for a machine that cannot pull any
#   IMAGES=pull deploy/verify/compose.sh           # the real ones
#   deploy/verify/compose.sh tests/integration/…   # afterwards these tests, on containers (testcontainers)
#
# A Docker daemon of its own is started, with its data in WORK (a temporary directory, removed at the end, unless given).
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/verify/lib.sh
. deploy/verify/lib.sh

export PATH=/usr/sbin:/usr/bin:$PATH # Debian's docker before others: it builds with BuildKit without a plugin
PYTHON=$ROOT/.venv/bin/python # as make setup leaves it
[ -n "${WORK:-}" ] || { WORK=$(mktemp -d); TEMPORARY=$WORK; }
mkdir -p "$WORK"
export COMPOSE_PROJECT_NAME=ringover-verify RINGOVER_IMAGE=ringover-events:verify
export RINGOVER_PORT=${RINGOVER_PORT:-18080} RINGOVER_KAFKA_PORT=${RINGOVER_KAFKA_PORT:-29392}
IMAGE=$RINGOVER_IMAGE
BUILD=(docker build --file deploy/Dockerfile)
# Never baked in: the second one is for a machine whose package index has a CA of its own.
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || BUILD+=(--secret "id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt")

cleanup() {
    local code=$?
    if docker info >/dev/null 2>&1; then
        [ "$code" = 0 ] || { docker-compose ps; docker-compose logs --tail 15; } || true
        docker-compose down --volumes --timeout 20 >/dev/null 2>&1 || true
    fi
    stop_daemon
    [ -z "${TEMPORARY:-}" ] || rm -rf --one-file-system "$TEMPORARY"
    [ "$code" = 0 ] || printf '\nFAILED, exit code %s\n' "$code" >&2
}
trap cleanup EXIT

ops() { docker-compose run --rm -T ops "$@"; }
hardened() { docker run --rm --read-only --cap-drop=ALL --security-opt no-new-privileges --user 10001 "$@"; }

# Waits until every container that has a health check is healthy.
all_healthy() { # SECONDS COUNT
    local states
    for _ in $(seq "$1"); do
        states=$(docker-compose ps -q | xargs docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{end}}' | grep . || true)
        [ "$(grep -c '^healthy$' <<<"$states" || true)" != "$2" ] || return 0
        sleep 1
    done
    fail "not healthy within $1 s: $(tr '\n' ' ' <<<"$states")"
}

sh deploy/make-secrets.sh
# Waits until the health of all containers of a service is that.
health_is() { # SERVICE HEALTH
    for _ in $(seq 120); do
        if ! docker-compose ps -q "$1" | xargs docker inspect --format '{{.State.Health.Status}}' | grep -qvx "$2"; then
            printf '%s: %s\n' "$1" "$2"
            return 0
        fi
        sleep 1
    done
    fail "$1 did not become $2"
}

say "tools and a Docker daemon of our own"
install_tools
start_daemon
docker --version
docker-compose version --short

if [ "${IMAGES:-local}" = local ]; then
    say "base images, made here"
    base=$(python_image) kafka=$(compose_image apache/kafka) postgres=$(compose_image postgres)
    exists "$base" || make_debian "$base" python3,python3-venv,ca-certificates
    exists "$kafka" || make_kafka "$kafka" "$base"
    exists "$postgres" || make_postgres "$postgres" "$base"
    docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
fi

say "the image, built twice: the same files"
for number in 1 2; do
    "${BUILD[@]}" --no-cache --quiet --tag "$IMAGE-$number" . >/dev/null
    docker save --output "$WORK/image-$number.tar" "$IMAGE-$number"
done
"$PYTHON" deploy/verify/same_image.py "$WORK/image-1.tar" "$WORK/image-2.tar" || fail "the layers differ"
rm "$WORK"/image-?.tar
docker tag "$IMAGE-2" "$IMAGE"

say "the image: size, history, configuration"
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' "$IMAGE"
docker history --format '{{.Size}}	{{.CreatedBy}}' "$IMAGE" | cut -c1-150
docker inspect --format '{{json .Config}}' "$IMAGE" | "$PYTHON" -m json.tool

say "what is not in it"
if hardened --network none "$IMAGE" python -c 'import pip' 2>/dev/null; then fail "pip is in the image"; fi
if hardened --network none "$IMAGE" python -c 'import ensurepip' 2>/dev/null; then fail "ensurepip is in the image"; fi
# shellcheck disable=SC2016 # for the shell in the container
hardened --network none "$IMAGE" sh -c '
    for tool in pip uv gcc cc make git hatchling; do if command -v $tool; then exit 1; fi; done
    for path in /run/secrets/ca_bundle /etc/pip.conf /build /app/bin/activate; do if [ -e $path ]; then echo $path; exit 1; fi; done
    touch /app/x 2>/dev/null && exit 1
    find /app -newermt "2026-01-01 00:00:01" | head -1 | grep . && exit 1
    echo "no installer, compiler, build directory or CA; nothing can be written; uid $(id -u)"' || fail "something is"

say "the three commands: --read-only --cap-drop=ALL --user 10001, without a network"
for command in ringover-ingress ringover-processor ringover-ops; do
    hardened --network none "$IMAGE" "$command" --help >"$WORK/help"
    printf '%s: %s\n' "$command" "$(grep -m1 -i usage "$WORK/help")"
done

say "with OpenTelemetry, and without"
"${BUILD[@]}" --build-arg LOCK=otel --quiet --tag "$IMAGE-otel" . >/dev/null
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' "$IMAGE-otel"
hardened --network none --env OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 "$IMAGE-otel" \
    python -c 'import runtime.otel, runtime.tracing as tracing; print("traces are exported where wanted:", tracing.wanted())'
if hardened --network none "$IMAGE" python -c 'import opentelemetry' 2>/dev/null; then fail "OpenTelemetry is in the image"; fi

say "docker-compose: the file is valid, and builds that image, from the builder's cache"
docker-compose config --quiet
COMPOSE_DOCKER_CLI_BUILD=1 docker-compose build ingress >"$WORK/build" 2>&1 || { tail -20 "$WORK/build"; fail "build"; }
docker inspect --format '{{json .RootFS.Layers}}' "$IMAGE" "$IMAGE-2" | uniq -u | grep . && fail "another image"

say "docker-compose up"
started=$SECONDS
docker-compose up --detach --no-build >"$WORK/up" 2>&1 || { cat "$WORK/up"; fail "docker-compose up"; }
all_healthy 180 5
echo "up and healthy after $((SECONDS - started)) s"
docker-compose ps
for once in roles migrate grants topics; do
    [ "$(docker inspect --format '{{.State.ExitCode}}' "$(docker-compose ps -aq $once)")" = 0 ] || fail "$once"
done
docker-compose logs --no-color topics | tail -12

say "a signed webhook, as in the README"
secret=$(cut -d: -f2 secrets/ingress_hmac_secrets)
body='{"event":"call.ended","timestamp":"2026-01-02T15:05:12.000Z","call":{"id":"ro_call_123","duration_sec":312,"hangup_cause":"normal_clearing","disposition":"answered"}}'
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$secret" -r | cut -d' ' -f1)
curl -sS --fail-with-body "http://127.0.0.1:$RINGOVER_PORT/wh/ringover/call-ended" \
    -H 'Content-Type: application/json' -H "X-Ringover-Signature: $signature" --data-binary "$body" | tee "$WORK/answer"
echo
grep -q '"accepted"' "$WORK/answer" || fail "not accepted"
code=$(curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$RINGOVER_PORT/wh/ringover/call-ended" \
    -H 'Content-Type: application/json' -H "X-Ringover-Signature: ${signature/[0-9]/x}" --data-binary "$body")
[ "$code" = 401 ] || fail "a wrong signature is answered $code"
ops tail --from-beginning --max 1 -o json 2>/dev/null | tee "$WORK/event"
"$PYTHON" - "$WORK/event" <<'PYTHON' || fail "not that event"
import json
import sys

event = json.load(open(sys.argv[1]))
assert event["topic"] == "ringover.call.v1", event["topic"]
assert event["key"] == "ro_call_123", event["key"]
expected = {"call_id": "ro_call_123", "duration_sec": 312, "hangup_cause": "normal_clearing", "disposition": "answered"}
assert event["value"] == expected, event["value"]
assert event["headers"]["ce_idempotencykey"] == "ringover:call.ended:ro_call_123", event["headers"]
PYTHON
echo "that is the normalized event"

say "the same from the host, and more by ringover-ops: the duplicate comes out once"
ops send --sample all --url http://ingress:8080
ops tail --from-beginning --max 3 2>/dev/null
ops lag

say "Kafka is away: webhooks are still taken, the processors say that they are not ready; then it comes out"
docker-compose stop kafka 2>/dev/null
printf %s "${body/ro_call_123/while-kafka-was-away}" >"$WORK/body"
docker-compose run --rm -T --no-deps ops send --endpoint call-ended --url http://ingress:8080 -o json <"$WORK/body" 2>/dev/null
health_is processor unhealthy
docker-compose exec -T processor python -m runtime.probe /readyz 2>&1 | cut -c1-160 || true
docker-compose start kafka 2>/dev/null
health_is processor healthy
ops tail --from-beginning --max 4 2>/dev/null | grep while-kafka-was-away

say "SIGTERM: each ends in order within its grace period; then everything again on the same volumes"
for service in ingress processor; do
    containers=$(docker-compose ps -q $service)
    started=$(date +%s.%N)
    docker-compose stop $service 2>/dev/null
    for container in $containers; do
        code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
        ended=$(docker inspect --format '{{.State.FinishedAt}}' "$container")
        awk -v service=$service -v code="$code" -v ended="$(date -d "$ended" +%s.%N)" -v started="$started" \
            'BEGIN { printf "%s: exit code %s, %.1f s after the command\n", service, code, ended - started }'
        [ "$code" = 0 ] || fail "$service did not end in order"
    done
done
docker-compose stop 2>/dev/null
docker-compose up --detach --no-build >/dev/null 2>&1 || fail "docker-compose up, again"
all_healthy 180 5
ops send --sample call-started --url http://ingress:8080 >/dev/null
ops tail --from-beginning --max 4 -o json 2>/dev/null | "$PYTHON" -c '
import json, sys
keys = sorted(json.loads(line)["headers"]["ce_idempotencykey"] for line in sys.stdin)
print(*keys, sep="\n")
assert len(set(keys)) == 4, keys'

say "one more ingress by docker run, hardened, on the network of the others"
docker run --detach --name hardened --read-only --cap-drop=ALL --security-opt no-new-privileges --user 10001 \
    --network "${COMPOSE_PROJECT_NAME}_default" --env KAFKA_BOOTSTRAP_SERVERS=kafka:9092 \
    --env INGRESS_HMAC_SECRETS="only:here" "$IMAGE" ringover-ingress >/dev/null
for _ in $(seq 60); do
    health=$(docker inspect --format '{{.State.Health.Status}}' hardened)
    [ "$health" != healthy ] || break
    sleep 1
done
docker exec hardened python -m runtime.probe /readyz
docker stop --time 30 hardened >/dev/null
echo "health by the image's own check: $health; exit code $(docker inspect --format '{{.State.ExitCode}}' hardened)"
[ "$health" = healthy ] || fail "not healthy"
docker rm hardened >/dev/null
docker-compose down --volumes --timeout 30 2>/dev/null

if [ $# -gt 0 ]; then
    say "tests on containers"
    env -u KAFKA_BOOTSTRAP_SERVERS -u DATABASE_URL TEST_KAFKA_IMAGE="$(compose_image apache/kafka)" \
        TEST_POSTGRES_IMAGE="$(compose_image postgres)" TESTCONTAINERS_RYUK_DISABLED=true "$ROOT/.venv/bin/pytest" "$@"
fi
say "passed"
