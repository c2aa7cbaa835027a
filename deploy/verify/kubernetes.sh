#!/bin/bash
# Applies deploy/k8s to a real Kubernetes API server with its controllers and scheduler, then takes it all down.
#
#   deploy/verify/kubernetes.sh        # needs Go, make setup, openssl; no root, no daemon, no images
#
# No kubelet: pods are admitted, made and given to nodes that exist on paper; no container runs, no policy is enforced. The
# programs are built from Kubernetes' Go modules and kept in the cache (RINGOVER_CACHE_DIR), for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/verify/lib.sh
. deploy/verify/lib.sh
# shellcheck source=deploy/verify/kubernetes/cluster.sh
. deploy/verify/kubernetes/cluster.sh

PYTHON=$ROOT/.venv/bin/python # as make setup leaves it
WORK=$(mktemp -d)
trap cleanup EXIT

say "programs of Kubernetes $VERSION"
build_programs
du -sh "$BIN" | cut -f1

say "etcd, API server, controllers and scheduler, on loopback"
start_cluster
kubectl version

say "the operators' own definitions"
mkdir "$WORK/crds"
"$PYTHON" "$MODULE/crds.py" "$WORK/crds"
quietly create --filename "$WORK/crds"
quietly wait --for condition=Established --timeout 60s --filename "$WORK/crds"
kubectl get customresourcedefinitions --output custom-columns=NAME:.metadata.name,VERSIONS:.spec.versions[*].name

say "three nodes on paper, one for each zone, and one that takes no pods of ours; twelve volumes"
for zone in a b c control; do
    cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: node-$zone
  labels: {kubernetes.io/hostname: node-$zone, topology.kubernetes.io/zone: $zone}
status:
  allocatable: &room {cpu: "8", memory: 16Gi, pods: "110"}
  capacity: *room
  conditions: [{type: Ready, status: "True", reason: OnPaper}]
YAML
done >"$WORK/nodes.yaml"
quietly create --filename "$WORK/nodes.yaml"
quietly taint nodes --all node.kubernetes.io/not-ready- # what the API server puts on every new node
quietly taint nodes node-control node-role.kubernetes.io/control-plane:NoSchedule
cat >"$WORK/volumes.yaml" <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: on-paper
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
YAML
for number in $(seq 12); do
    [ "$number" = 1 ] && mode=ReadWriteOnce || mode=ReadWriteOncePod # the first one is for development
    cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$number}
spec:
  storageClassName: on-paper
  accessModes: [$mode]
  capacity: {storage: 4Gi}
  csi: {driver: on.paper, volumeHandle: "$number"}
YAML
done >>"$WORK/volumes.yaml"
quietly create --filename "$WORK/volumes.yaml"

# As a deployment tool does (on the server, dry), then as the README does; then nothing is left to change. The dry run is
# without the namespace: it must be there before, and two ways of applying one object are in each other's way.
applied() { # DIRECTORY [FILE-OF-ITS-NAMESPACE]
    local count first=1
    kubectl kustomize "$1" >"$WORK/built.yaml"
    count=$(grep -c '^kind:' "$WORK/built.yaml")
    if [ -n "${2:-}" ]; then
        quietly apply --filename "$2"
        first=$(grep -n -m1 '^---$' "$WORK/built.yaml" | cut -d: -f1) # kustomize puts a namespace first
    fi
    tail -n "+$first" "$WORK/built.yaml" >"$WORK/inside.yaml"
    quietly apply --server-side --dry-run=server --filename "$WORK/inside.yaml"
    quietly apply --kustomize "$1"
    [ "$(wc -l <"$WORK/out")" = "$count" ] || fail "not all of $count objects: $1"
    cut -d/ -f1 "$WORK/out" | sort | uniq -c
    kubectl diff --kustomize "$1" >"$WORK/diff" || { cat "$WORK/diff" >&2; fail "applied again, something would change"; }
    echo "all $count admitted without a warning; applied again, nothing would change"
}
none_refused() {
    local events
    events=$(kubectl --namespace "$NAMESPACE" get events --field-selector reason=FailedCreate --output name)
    [ -z "$events" ] || { kubectl --namespace "$NAMESPACE" get events --field-selector reason=FailedCreate >&2; fail "pods were refused"; }
}

say "deploy/k8s/strimzi"
quietly create namespace kafka
applied deploy/k8s/strimzi

say "deploy/k8s/overlays/development"
NAMESPACE=ringover-dev
applied deploy/k8s/overlays/development deploy/k8s/overlays/development/namespace.yaml
for name in ringover-ingress ringover-processor ringover-migrate ringover-topics; do
    placed $name 1
done
none_refused
kubectl --namespace "$NAMESPACE" get pods --output wide | cut -c1-150

say "deploy/k8s/overlays/production"
NAMESPACE=ringover
applied deploy/k8s/overlays/production deploy/k8s/overlays/production/namespace.yaml
placed ringover-ingress 2 # by the least of its autoscaler
for name in ringover-processor ringover-migrate ringover-topics; do
    placed $name 1
done
is horizontalpodautoscaler/ringover-ingress '{.status.conditions[?(@.type=="AbleToScale")].status}' True \
    || fail "the autoscaler cannot scale the ingress"

say "the autoscaler that KEDA would make of its object"
kubectl --namespace $NAMESPACE get scaledobject ringover-processor --output json | "$PYTHON" -c '
import json, sys
spec = json.load(sys.stdin)["spec"]
target = {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]}
lag = {"metric": {"name": "lag"}, "target": {"type": "AverageValue", "averageValue": spec["triggers"][0]["metadata"]["lagThreshold"]}}
made = {
    "scaleTargetRef": target,
    "minReplicas": spec["minReplicaCount"],
    "maxReplicas": spec["maxReplicaCount"],
    "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
    "metrics": [{"type": "External", "external": lag}],
}
print(json.dumps({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "by-keda"}, "spec": made}))
' >"$WORK/by-keda.json"
quietly --namespace $NAMESPACE create --filename "$WORK/by-keda.json"
placed ringover-processor "$(field scaledobject/ringover-processor '{.spec.minReplicaCount}')"
quietly --namespace $NAMESPACE delete horizontalpodautoscaler by-keda

say "as many as the autoscalers allow, and the operator: each pod is admitted and gets a node"
ingresses=$(field horizontalpodautoscaler/ringover-ingress '{.spec.maxReplicas}')
processors=$(field scaledobject/ringover-processor '{.spec.maxReplicaCount}')
quietly --namespace $NAMESPACE scale statefulset ringover-ingress --replicas "$ingresses"
quietly --namespace $NAMESPACE scale deployment ringover-processor --replicas "$processors"
quietly --namespace $NAMESPACE scale deployment ringover-ops --replicas 1 # as deploy/k8s/README.md has it
placed ringover-ingress "$ingresses"
placed ringover-processor "$processors"
placed ringover-ops 1
none_refused
kubectl --namespace $NAMESPACE get pods --output jsonpath='{range .items[*]}{.metadata.labels.app\.kubernetes\.io/name} {.spec.nodeName}{"\n"}{end}' \
    | sort | uniq -c
for number in $(seq 0 $((ingresses - 1))); do
    is "persistentvolumeclaim/spool-ringover-ingress-$number" '{.status.phase}' Bound || fail "spool $number"
done
quietly apply --kustomize deploy/k8s/overlays/production
is statefulset/ringover-ingress "{.spec.replicas}" "$ingresses" || fail "an apply takes back what the autoscaler did"
echo "applied again: their numbers stay"

say "a node is emptied: one ready ingress at a time, which finds another node; those that are not ready at once"
ready() { # POD TRUE-OR-FALSE: what a kubelet would say, and that it has been so for a while
    quietly --namespace $NAMESPACE patch pod "$1" --subresource status --patch "{\"status\": {\"phase\": \"Running\",
        \"conditions\": [{\"type\": \"Ready\", \"status\": \"$2\", \"lastTransitionTime\": \"$(date -u -d '-1 minute' +%FT%TZ)\"}]}}"
}
all_ready() { # TRUE-OR-FALSE
    local number
    for number in $(seq 0 $((ingresses - 1))); do ready "ringover-ingress-$number" "$1"; done
}
gone() { quietly delete --raw "/api/v1/namespaces/$NAMESPACE/pods/$1?gracePeriodSeconds=0"; } # POD, as a kubelet says, too
evict() { # POD
    printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s"}}' "$1" \
        | kubectl create --raw "/api/v1/namespaces/$NAMESPACE/pods/$1/eviction" --filename -
}
budget() { until_true 60 "$1 is $2" is poddisruptionbudget/ringover-ingress "{.status.$1}" "$2"; } # FIELD VALUE
all_ready True
budget currentHealthy "$ingresses"
node=$(field pod/ringover-ingress-0 '{.spec.nodeName}')
quietly cordon "$node"
quietly taint node "$node" node.kubernetes.io/unschedulable:NoSchedule # by the controller that does not run here
evict ringover-ingress-0 >"$WORK/out"
budget disruptionsAllowed 0
if evict ringover-ingress-1 >"$WORK/out" 2>"$WORK/err"; then fail "a second ready ingress may go"; fi
cat "$WORK/err"
gone ringover-ingress-0
placed ringover-ingress "$ingresses"
[ "$(field pod/ringover-ingress-0 '{.spec.nodeName}')" != "$node" ] || fail "on the node that is being emptied"
all_ready False
budget currentHealthy 0
for pod in ringover-ingress-1 ringover-ingress-2; do
    evict $pod >"$WORK/out"
    gone $pod
done
placed ringover-ingress "$ingresses"
quietly uncordon "$node"
quietly taint node "$node" node.kubernetes.io/unschedulable-

say "a node is lost: said so, as the README has it, its ingresses begin anew on the others"
node=$(field pod/ringover-ingress-0 '{.spec.nodeName}')
quietly patch node "$node" --subresource status --patch '{"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}'
quietly taint node "$node" node.kubernetes.io/unreachable:NoSchedule # by that controller, too
quietly taint node "$node" node.kubernetes.io/out-of-service=nodeshutdown:NoExecute
elsewhere() {
    [ "$(kubectl --namespace $NAMESPACE get pods --selector app.kubernetes.io/name=ringover-ingress \
        --output 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | grep . | grep -cvx "$node")" = "$ingresses" ]
}
until_true 90 "all ingresses are on other nodes" elsewhere
echo "all $ingresses have another node"

say "a new release: refused with the old jobs, as the README says; without them it is taken, one ingress after another"
mkdir "$WORK/release"
release() { # TAG
    cat >"$WORK/release/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources: [$(realpath --relative-to "$WORK/release" deploy/k8s/overlays/production)]
images: [{name: registry.example/ringover-events, newTag: $1}]
YAML
}
taken() { # as the README has it
    quietly --namespace $NAMESPACE delete job ringover-migrate ringover-topics --ignore-not-found
    quietly apply --kustomize "$WORK/release"
}
going() { # PODS: those of the ingress that were told to go, and no others
    [ "$(kubectl --namespace $NAMESPACE get pods --selector app.kubernetes.io/name=ringover-ingress \
        --output 'jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name}{end}')" = "$1" ]
}
replaced() { # POD TAG: it alone goes, and comes back with that image
    until_true 60 "$1 alone was told to go" going "$1"
    gone "$1"
    until_true 60 "$1 has the image $2" is "pod/$1" '{.spec.containers[0].image}' "registry.example/ringover-events:$2"
}
last=ringover-ingress-$((ingresses - 1)) before=ringover-ingress-$((ingresses - 2))
all_ready True
until_true 60 "all ingresses are available" is statefulset/ringover-ingress '{.status.availableReplicas}' "$ingresses"
release broken
refused 'field is immutable' apply --kustomize "$WORK/release"
taken
replaced "$last" broken
going "" || fail "another ingress goes, though the first of the new ones is not ready"
echo "one that does not start: the others stay as they are"
release next
taken
replaced "$last" next
ready "$last" True
replaced "$before" next
echo "the next release takes its place, by itself, and goes on"
is deployment/ringover-processor '{.spec.template.spec.containers[0].image}' registry.example/ringover-events:next \
    || fail "processors have the old image"
is statefulset/ringover-ingress '{.spec.replicas}' "$ingresses" || fail "the release takes back what the autoscaler did"
none_refused

say "what must be refused"
kubectl kustomize deploy/k8s/overlays/production >"$WORK/built.yaml"
for word in pollingInterval secretTargetRef podMetricsEndpoints nodeTaintsPolicy unhealthyPodEvictionPolicy; do
    sed "s/$word/x$word/" "$WORK/built.yaml" >"$WORK/misspelt.yaml"
    refused "unknown field.*x$word" apply --dry-run=server --filename "$WORK/misspelt.yaml"
done
template() { # DEPLOYMENT: its pod, as a Pod
    kubectl --namespace $NAMESPACE get deployment "$1" --output json | "$PYTHON" -c '
import json, sys
template = json.load(sys.stdin)["spec"]["template"]
print(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand"}, "spec": template["spec"]}))'
}
template ringover-processor >"$WORK/pod.json"
quietly --namespace $NAMESPACE create --dry-run=server --filename "$WORK/pod.json"
as_root() { sed 's/"runAsNonRoot": true/"runAsNonRoot": false/; s/"runAsUser": 10001/"runAsUser": 0/' "$WORK/pod.json"; }
privileged() { sed 's/"allowPrivilegeEscalation": false/"privileged": true/' "$WORK/pod.json"; }
for bad in as_root privileged; do
    $bad >"$WORK/bad.json"
    refused 'violates PodSecurity' --namespace $NAMESPACE create --dry-run=server --filename "$WORK/bad.json"
done
patched() { # WORDS OBJECT PATCH
    refused "$1" --namespace "$NAMESPACE" patch "$2" --type merge --dry-run=server --patch "$3"
}
patched 'maxReplicaCount' scaledobject/ringover-processor '{"spec": {"maxReplicaCount": "twelve"}}'
patched 'behavior' scaledobject/ringover-processor '{"spec": {"fallback": {"behavior": "always"}}}'
patched 'podMetricsEndpoints' podmonitor/ringover-ingress '{"spec": {"podMetricsEndpoints": [{"port": "admin", "interval": "15"}]}}'
patched 'maxReplicas' horizontalpodautoscaler/ringover-ingress '{"spec": {"maxReplicas": 1}}'
NAMESPACE=kafka
patched 'spec.partitions' kafkatopic/ringover.raw.v1 '{"spec": {"partitions": 0}}'
patched 'spec.authentication.type' kafkauser/ringover-reader '{"spec": {"authentication": {"type": "password"}}}'
say "passed"
