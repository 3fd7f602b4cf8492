"""Pods are 'restricted', accounts can do what is listed and nothing else, and only listed pairs may talk."""

import copy

import pytest
from manifests import Peer, Pod, may_talk, name_of, names, of_kind, permissions, pods

pytestmark = pytest.mark.parametrize("program", ["kubectl"], indirect=True)

# --- Pod Security Standards, level restricted --------------------------------------------------------------

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def objections(pod: Pod) -> list[str]:
    """Why a pod would not be admitted at level 'restricted' (kubernetes.io, Pod Security Standards)."""
    spec, found = pod.spec, []
    whole = spec.get("securityContext", {})
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [f"volume {each['name']}" for each in spec.get("volumes", []) if not (set(each) - {"name"}) <= VOLUMES]
    found += ["sysctls"] if whole.get("sysctls") else []
    for container in pod.containers:
        own = container.get("securityContext", {})
        both = whole | own
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            found.append("runs as root")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccomp")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append("privileges")
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            found.append("capabilities")
        if own.get("procMount", "Default") != "Default" or own.get("seLinuxOptions") or own.get("appArmorProfile"):
            found.append("procMount, SELinux or AppArmor")
        found += ["hostPort"] if any("hostPort" in port for port in container.get("ports", [])) else []
    return found


def test_every_pod_is_restricted_and_the_namespace_insists(objects):
    for pod in pods(objects):
        assert objections(pod) == [], pod.owner
    labels = of_kind(objects, "Namespace")[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        (lambda spec: spec.update(hostNetwork=True), "hostNetwork"),
        (lambda spec: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "volume host"),
        (lambda spec: spec["securityContext"].pop("runAsNonRoot"), "runs as root"),
        (lambda spec: spec["securityContext"].pop("seccompProfile"), "seccomp"),
        (lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"), "privileges"),
        (lambda spec: spec["containers"][0]["securityContext"]["capabilities"].pop("drop"), "capabilities"),
    ],
)
def test_a_pod_that_is_not_restricted_would_be_found(objects, change, objection):
    pod = next(pod for pod in pods(objects) if pod.owner == "Deployment/mlflow")
    spec = copy.deepcopy(pod.spec)
    change(spec)
    assert objections(Pod(pod.owner, pod.labels, spec)) == [objection]


def test_no_container_can_change_its_image_or_starve_its_node(objects):
    for pod in pods(objects):
        for container in pod.containers:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, pod.owner
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bound]), pod.owner


def test_no_pod_carries_a_token_that_it_does_not_use(objects):
    for pod in pods(objects):
        assert pod.spec["automountServiceAccountToken"] is False, pod.owner
    allowed = {"pipeline-steps"}  # the steps themselves are pods of Kubeflow Pipelines
    for account in of_kind(objects, "ServiceAccount"):
        mounts = account.get("automountServiceAccountToken", True)
        assert mounts is False or account["metadata"]["name"] in allowed, name_of(account)


# --- what each account can do ------------------------------------------------------------------------------

CAN = {
    "mlflow": {},
    "postgresql": {},
    "postgresql-backup": {},
    "training": {},
    "pull-cohorts": {},
    "watch-branch": {
        ("pipelines.kubeflow.org", "runs", "*"): "create get",
        ("pipelines.kubeflow.org", "experiments", "*"): "create list",
    },
    "dicom-node": {},
    "pipeline-steps": {
        ("argoproj.io", "workflowtaskresults", "*"): "create patch",
        ("argoproj.io", "workflows", "*"): "get",
        ("", "pods", "*"): "get list watch patch",
        ("", "pods/log", "*"): "get",
        ("", "configmaps", "kfp-launcher"): "get",
        ("", "configmaps", "metadata-grpc-configmap"): "get",
        ("", "secrets", "mlpipeline-minio-artifact"): "get",
        ("trainer.kubeflow.org", "trainjobs", "*"): "create get list watch delete",
    },
}

CANNOT = (
    ("", "secrets", "*", "get"),
    ("", "secrets", "*", "list"),
    ("", "secrets", "postgresql", "get"),
    ("", "secrets", "object-store", "get"),
    ("", "pods", "*", "create"),
    ("", "pods", "*", "delete"),
    ("", "pods/exec", "*", "create"),
    ("", "serviceaccounts/token", "*", "create"),
    ("", "persistentvolumeclaims", "*", "delete"),
    ("rbac.authorization.k8s.io", "roles", "*", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "*", "create"),
    ("networking.k8s.io", "networkpolicies", "*", "delete"),
    ("pipelines.kubeflow.org", "runs", "*", "delete"),
    ("pipelines.kubeflow.org", "jobs", "*", "create"),
)


def test_every_account_is_listed(objects):
    assert names(objects, "ServiceAccount") == set(CAN)


@pytest.mark.parametrize("account", CAN)
def test_an_account_can_do_what_is_listed_and_nothing_else(objects, account):
    listed = {(*what, verb) for what, verbs in CAN[account].items() for verb in verbs.split()}
    assert permissions(objects, account) == listed
    for forbidden in CANNOT:
        assert forbidden not in permissions(objects, account)


def test_nothing_is_granted_beyond_the_namespace_or_by_wildcard(objects):
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
    for binding in of_kind(objects, "RoleBinding"):
        assert {subject["kind"] for subject in binding["subjects"]} == {"ServiceAccount"}


# --- who may talk to whom ----------------------------------------------------------------------------------


def named(application: str, *ports: tuple[str, int]) -> Peer:
    return Peer(labels=(("app.kubernetes.io/name", application),), ports=ports)


STEP = Peer(labels=(("pipeline/runid", "1"),))
NODE = Peer(labels=(("jobset.sigs.k8s.io/jobset-name", "train"),))
MLFLOW, POSTGRESQL = named("mlflow", ("http", 5000)), named("postgresql", ("postgresql", 5432))
BACKUP, WATCH, PULL = named("postgresql-backup"), named("watch-branch"), named("pull-cohorts")
STRANGER = named("stranger")
KUBEFLOW = Peer(namespace="kubeflow", labels=(("app", "ml-pipeline"),))
NAMES = Peer(namespace="kube-system", labels=(("k8s-app", "kube-dns"),))
OTHERS = Peer(namespace="cardiology", labels=(("app.kubernetes.io/name", "mlflow"),))
OUTSIDE = Peer(address="198.51.100.7")
DICOM = named("dicom-node", ("dicom", 11112), ("health", 9104))
CAMERA, ARCHIVE = Peer(address="192.0.2.17"), Peer(address="192.0.2.128")
PROMETHEUS = Peer(namespace="monitoring", labels=(("app.kubernetes.io/name", "prometheus"),))

TALK = [
    (STEP, MLFLOW, 5000),
    (STEP, KUBEFLOW, 8887),
    (STEP, OUTSIDE, 443),
    (NODE, NODE, 29500),
    (NODE, NODE, 41234),
    (WATCH, MLFLOW, 5000),
    (WATCH, KUBEFLOW, 8888),
    (WATCH, OUTSIDE, 443),
    (WATCH, OUTSIDE, 22),
    (PULL, OUTSIDE, 443),
    (MLFLOW, POSTGRESQL, 5432),
    (MLFLOW, OUTSIDE, 443),
    (BACKUP, POSTGRESQL, 5432),
    (CAMERA, DICOM, 11112),
    (DICOM, ARCHIVE, 2762),
    (DICOM, MLFLOW, 5000),
    (PROMETHEUS, DICOM, 9104),
]
SILENT = [
    (STEP, POSTGRESQL, 5432),
    (STEP, OUTSIDE, 80),
    (STEP, STEP, 22),
    (NODE, MLFLOW, 5000),
    (NODE, POSTGRESQL, 5432),
    (NODE, OUTSIDE, 443),
    (NODE, STEP, 8080),
    (WATCH, POSTGRESQL, 5432),
    (WATCH, KUBEFLOW, 8887),
    (PULL, MLFLOW, 5000),
    (PULL, POSTGRESQL, 5432),
    (MLFLOW, POSTGRESQL, 22),
    (MLFLOW, STEP, 8080),
    (POSTGRESQL, OUTSIDE, 443),
    (POSTGRESQL, MLFLOW, 5000),
    (BACKUP, OUTSIDE, 443),
    (STRANGER, MLFLOW, 5000),
    (STRANGER, POSTGRESQL, 5432),
    (STRANGER, OUTSIDE, 443),
    (OTHERS, MLFLOW, 5000),
    (OTHERS, POSTGRESQL, 5432),
    (OUTSIDE, MLFLOW, 5000),
    (OUTSIDE, DICOM, 11112),
    (ARCHIVE, DICOM, 11112),
    (CAMERA, DICOM, 9104),
    (PROMETHEUS, DICOM, 11112),
    (STRANGER, DICOM, 11112),
    (STRANGER, DICOM, 9104),
    (DICOM, OUTSIDE, 443),
    (DICOM, CAMERA, 2762),
    (DICOM, ARCHIVE, 443),
    (DICOM, POSTGRESQL, 5432),
]


def test_listed_pairs_may_talk_and_no_others(objects):
    for source, target, port in TALK:
        assert may_talk(objects, source, target, port), (source, target, port)
    for source, target, port in SILENT:
        assert not may_talk(objects, source, target, port), (source, target, port)


@pytest.mark.parametrize("source", [STEP, NODE, MLFLOW, POSTGRESQL, BACKUP, WATCH, PULL, DICOM, STRANGER])
def test_everyone_may_ask_for_names(objects, source):
    assert may_talk(objects, source, NAMES, 53, "UDP")


def test_the_policies_mean_pods_that_exist(objects):
    """A policy for a label that nothing carries protects nothing."""
    carried = {label for pod in pods(objects) for label in pod.labels.items()}
    for policy in of_kind(objects, "NetworkPolicy"):
        selectors = [policy["spec"]["podSelector"]]
        selectors += [
            peer["podSelector"]
            for way, side in (("ingress", "from"), ("egress", "to"))
            for rule in policy["spec"].get(way, [])
            for peer in rule.get(side, [])
            if "podSelector" in peer and "namespaceSelector" not in peer
        ]
        for selector in selectors:
            assert set(selector.get("matchLabels", {}).items()) <= carried, name_of(policy)
