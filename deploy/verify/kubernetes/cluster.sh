# shellcheck shell=bash
# Parts of kubernetes.sh: the programs of a cluster without kubelets, and questions to it.

MODULE=$ROOT/deploy/verify/kubernetes
PROGRAMS=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)
VERSION=$(sed -n 's/^.*k8s.io\/kubernetes v//p' "$MODULE/go.mod")
STARTED=() # ids of our processes, ended in reverse

# Puts the programs first in PATH; builds them unless the cache has them.
build_programs() {
    local cache digest building minor version
    command -v go >/dev/null || fail "Go is needed: https://go.dev/doc/install"
    cache=$("$PYTHON" -c 'from sandbox.devstack.jars import cache_dir; print(cache_dir())')
    digest=$(cat "$MODULE"/go.* "$MODULE"/*/main.go | sha256sum | cut -c1-12)
    BIN=$cache/kubernetes-$digest
    if [ ! -d "$BIN" ]; then
        echo "this takes six minutes on two idle processors; next time they are in the cache"
        mkdir -p "$cache"
        building=$(mktemp -d "$cache/building-XXXXXX")
        minor=${VERSION#*.}
        version=k8s.io/component-base/version
        (cd "$MODULE" && GOFLAGS="-mod=readonly -buildvcs=false -trimpath" go build -o "$building/" -ldflags \
            "-s -w -X $version.gitVersion=v$VERSION -X $version.gitMajor=${VERSION%%.*} -X $version.gitMinor=${minor%%.*}" \
            "${PROGRAMS[@]/#/./}") || { rm -rf "$building"; fail "go build"; }
        chmod 755 "$building"
        mv -T "$building" "$BIN"
    fi
    export PATH=$BIN:$PATH
}

cleanup() {
    local code=$? index
    [ "$code" = 0 ] || tail -n 3 "$WORK"/kube-*.log 2>/dev/null | cut -c1-250 >&2 || true
    for ((index = ${#STARTED[@]} - 1; index >= 0; index--)); do
        kill "${STARTED[index]}" 2>/dev/null || true
        wait "${STARTED[index]}" 2>/dev/null || true
    done
    rm -rf --one-file-system "$WORK"
    [ "$code" = 0 ] || printf '\nFAILED, exit code %s\n' "$code" >&2
}

start() { # PROGRAM OPTION...
    "$BIN/$1" "${@:2}" >"$WORK/$1.log" 2>&1 &
    STARTED+=($!)
}

# Waits until a command says yes; it is asked four times a second, without its words.
until_true() { # SECONDS WHAT COMMAND...
    local deadline=$((SECONDS + $1))
    until "${@:3}" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not within $1 s: $2"
        sleep 0.25
    done
}

# Runs kubectl; a warning of the server (of PodSecurity, of what is deprecated) is a failure, as an error is.
quietly() {
    kubectl "$@" >"$WORK/out" 2>"$WORK/err" || { cat "$WORK/err" >&2; fail "kubectl $*"; }
    [ ! -s "$WORK/err" ] || { cat "$WORK/err" >&2; fail "words from kubectl $*"; }
}

# That what kubectl asks for is refused, in these words.
refused() { # WORDS OPTION...
    if kubectl "${@:2}" >"$WORK/out" 2>"$WORK/err"; then fail "admitted, but should be refused: $1"; fi
    grep -q -- "$1" "$WORK/err" || { cat "$WORK/err" >&2; fail "refused, but not because of: $1"; }
    printf 'refused, as it should be: %s\n' "$(grep -m1 -o -- "$1.*" "$WORK/err" | cut -c1-150)"
}

field() { kubectl --namespace "$NAMESPACE" get "$1" --output "jsonpath=$2"; } # OBJECT PATH
is() { [ "$(field "$1" "$2")" = "$3" ]; }                                      # OBJECT PATH VALUE
# Waits until so many pods of a workload are there, and each has a node.
placed() { # NAME COUNT
    local deadline=$((SECONDS + 30)) nodes
    while :; do
        nodes=$(kubectl --namespace "$NAMESPACE" get pods --selector "app.kubernetes.io/name=$1" \
            --output 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | grep -c . || true)
        [ "$nodes" != "$2" ] || break
        if [ "$SECONDS" -ge "$deadline" ]; then
            kubectl --namespace "$NAMESPACE" get events --field-selector type=Warning \
                --output custom-columns=OBJECT:.involvedObject.name,MESSAGE:.message | cut -c1-250 | sort -u >&2
            fail "$nodes pods of $1 have a node, not $2"
        fi
        sleep 0.25
    done
    echo "$1: $2 admitted, each has a node"
}

# Starts all of it, with KUBECONFIG as its administrator's.
start_cluster() {
    local etcd peer secure scheduler token
    read -r etcd peer secure scheduler < <("$PYTHON" - <<'PYTHON'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(one.getsockname()[1] for one in sockets))
PYTHON
    )
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$WORK/server.key" -out "$WORK/server.crt" 2>/dev/null
    openssl genrsa -out "$WORK/accounts.key" 2048 2>/dev/null
    token=$(openssl rand -hex 24)
    (umask 077 && printf '%s,verify,verify,system:masters\n' "$token" >"$WORK/tokens.csv")
    export KUBECONFIG=$WORK/kubeconfig KUBECACHEDIR=$WORK/cache KUBECTL_KUBERC=false
    cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: verify, cluster: {server: "https://127.0.0.1:$secure", certificate-authority: $WORK/server.crt}}]
users: [{name: verify, user: {token: $token}}]
contexts: [{name: verify, context: {cluster: verify, user: verify}}]
current-context: verify
YAML
    start etcd --data-dir "$WORK/etcd" --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
        --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "default=http://127.0.0.1:$peer" --unsafe-no-fsync # nothing of it outlives us
    # Admission as a new server has it: PodSecurity is among what is on by default.
    start kube-apiserver --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 --secure-port "$secure" \
        --tls-cert-file "$WORK/server.crt" --tls-private-key-file "$WORK/server.key" --token-auth-file "$WORK/tokens.csv" \
        --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 --endpoint-reconciler-type none \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$WORK/accounts.key" \
        --service-account-signing-key-file "$WORK/accounts.key" --cert-dir "$WORK" --allow-privileged
    until_true 60 "the API server is ready" kubectl get --raw /readyz
    start kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false --secure-port 0 \
        --service-account-private-key-file "$WORK/accounts.key" --root-ca-file "$WORK/server.crt" \
        --controllers '*,-node-lifecycle-controller' # it would miss the kubelets
    start kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false --bind-address 127.0.0.1 --secure-port "$scheduler" \
        --cert-dir "$WORK"
}
