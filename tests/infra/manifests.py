"""Rendered manifests, and what Kubernetes would make of them: pods, permissions, who may talk to whom."""

import ipaddress
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

KUBERNETES = Path(__file__).parents[2] / "infra" / "kubernetes"
OVERLAYS = ("small", "gpu")
BESIDE = ("pull-cohorts", "triggers", "dicom-node")  # applied over an overlay, where wanted
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "TrainingRuntime")


@cache
def rendered(kubectl: str, folder: str) -> str:
    command = [kubectl, "kustomize", str(KUBERNETES / folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def everything(kubectl: str, overlay: str) -> list[dict[str, Any]]:
    """All objects of an overlay and of what is applied beside it. Read only: tests share them."""
    text = "\n---\n".join(rendered(kubectl, folder) for folder in (f"overlays/{overlay}", *BESIDE))
    return [content for content in yaml.safe_load_all(text) if content]


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [each for each in objects if each["kind"] in kinds]


def name_of(each: dict) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def names(objects: list[dict], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in of_kind(objects, kind)}


@dataclass(frozen=True)
class Pod:
    """A pod that a workload would start. `labels` are those that policies and selectors see."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any] = field(hash=False)

    @property
    def containers(self) -> list[dict]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(objects: list[dict]) -> Iterator[Pod]:
    for each in of_kind(objects, *WORKLOADS):
        for template in _templates(each):
            labels = dict(template.get("metadata", {}).get("labels", {}))
            if each["kind"] == "TrainingRuntime":
                labels["jobset.sigs.k8s.io/jobset-name"] = "given by the JobSet"
            yield Pod(name_of(each), labels, template["spec"])


def _templates(workload: dict) -> list[dict]:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        return [spec["jobTemplate"]["spec"]["template"]]
    if workload["kind"] == "TrainingRuntime":
        return [job["template"]["spec"]["template"] for job in spec["template"]["spec"]["replicatedJobs"]]
    return [spec["template"]]


# --- permissions -------------------------------------------------------------------------------------------


def permissions(objects: list[dict], account: str) -> set[tuple[str, str, str, str]]:
    """(API group, resource, name or '*', verb) that the bindings give to a ServiceAccount."""
    roles = {(each["kind"], each["metadata"]["name"]): each for each in of_kind(objects, "Role", "ClusterRole")}
    found = set()
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        accounts = {subject["name"] for subject in binding["subjects"] if subject["kind"] == "ServiceAccount"}
        if account not in accounts:
            continue
        for rule in roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", ["*"]):
                        found |= {(group, resource, name, verb) for verb in rule["verbs"]}
    return found


# --- network -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod by namespace and labels, or an address outside the cluster."""

    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = "scintiflow"
    address: str = ""
    ports: tuple[tuple[str, int], ...] = ()  # named container ports


def may_talk(objects: list[dict], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies of both ends let a connection through."""
    policies = of_kind(objects, "NetworkPolicy")
    return _lets(policies, "egress", source, target, target, port, protocol) and _lets(
        policies, "ingress", target, source, target, port, protocol
    )


def _lets(policies: list, way: str, owner: Peer, other: Peer, target: Peer, port: int, protocol: str) -> bool:
    if owner.address or owner.namespace != "scintiflow":
        return True  # not ours to decide
    kind = way.capitalize()
    own = [each["spec"] for each in policies if _selects(each["spec"]["podSelector"], dict(owner.labels))]
    own = [spec for spec in own if kind in spec["policyTypes"]]
    if not own:
        return True
    rules = [rule for spec in own for rule in spec.get(way, [])]
    side = "to" if way == "egress" else "from"
    return any(
        any(_is_peer(peer, other) for peer in rule.get(side, [{}])) and _is_port(rule, target, port, protocol)
        for rule in rules
    )


def _is_peer(wanted: dict, peer: Peer) -> bool:
    if not wanted:
        return True
    if "ipBlock" in wanted:
        return bool(peer.address) and ipaddress.ip_address(peer.address) in ipaddress.ip_network(
            wanted["ipBlock"]["cidr"]
        )
    if peer.address:
        return False
    in_namespace = (
        _selects(wanted["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace})
        if "namespaceSelector" in wanted
        else peer.namespace == "scintiflow"
    )
    return in_namespace and _selects(wanted.get("podSelector", {}), dict(peer.labels))


def _is_port(rule: dict, target: Peer, port: int, protocol: str) -> bool:
    if "ports" not in rule:
        return True
    numbers = {
        (each.get("protocol", "TCP"), dict(target.ports).get(each["port"], each["port"])) for each in rule["ports"]
    }
    return (protocol, port) in numbers


def _selects(selector: dict, labels: dict[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "Exists", "only Exists is understood here"
        exact = exact and expression["key"] in labels
    return exact
