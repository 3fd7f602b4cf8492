"""The manifests of the DICOM node and the recipe inside them are two halves of one thing."""

import re
import shutil
import subprocess

import pytest
import yaml
from manifests import KUBERNETES, of_kind, rendered

from scintiflow.node.health import answering
from scintiflow.params import load_params

ROOT = KUBERNETES.parents[1]
FOLDER = KUBERNETES / "dicom-node"
PLACES = {"modalities": "10.20.0.0/24", "archive": "10.30.0.5/32", "monitoring": "observability"}

pytestmark = pytest.mark.parametrize("program", ["kubectl"], indirect=True)


@pytest.fixture
def objects(program):
    return [each for each in yaml.safe_load_all(rendered(program, "dicom-node")) if each]


@pytest.fixture
def recipe(objects, tmp_path):
    """What the program reads in the pod."""
    (settings,) = of_kind(objects, "ConfigMap")
    (tmp_path / "clinic.yaml").write_text(settings["data"]["clinic.yaml"])
    return load_params(ROOT / "params.yaml", tmp_path / "clinic.yaml")


@pytest.fixture
def spec(objects):
    (stateful,) = of_kind(objects, "StatefulSet")
    return stateful["spec"]["template"]["spec"]


def mount(spec: dict, name: str) -> dict:
    return next(each for each in spec["containers"][0]["volumeMounts"] if each["name"] == name)


def port(spec: dict, name: str) -> int:
    return next(each["containerPort"] for each in spec["containers"][0]["ports"] if each["name"] == name)


def test_every_network_of_the_pod_is_listened_to_on_the_ports_of_the_manifest(objects, recipe, spec):
    node = recipe.node
    assert (node.bind, node.health_bind) == ("0.0.0.0", "0.0.0.0")
    assert (node.port, node.health_port) == (port(spec, "dicom"), port(spec, "health"))
    (stateful,) = of_kind(objects, "StatefulSet")
    notes = stateful["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(node.health_port)
    (policy,) = of_kind(objects, "NetworkPolicy")
    assert policy["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": node.peer.port}]


def test_scans_and_statistics_lie_on_the_volume_that_stays(objects, recipe, spec):
    place = mount(spec, "scans")["mountPath"]
    assert recipe.node.spool.startswith(f"{place}/")
    assert recipe.watch.folder.startswith(f"{place}/")
    (stateful,) = of_kind(objects, "StatefulSet")
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "scans"
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert stateful["spec"]["replicas"] == 1


def test_the_certificates_are_files_of_the_secret(recipe, spec):
    place = mount(spec, "tls")["mountPath"]
    readme = (KUBERNETES / "README.md").read_text()
    for path in (recipe.node.tls.certificate, recipe.node.tls.key, recipe.node.tls.authorities):
        folder, _, key = path.rpartition("/")
        assert folder == place
        assert f"| `dicom-node-tls` | `{key}` |" in readme


def test_the_command_reads_files_that_the_image_and_the_pod_have(spec):
    told = dict(argument.removeprefix("--").split("=") for argument in spec["containers"][0]["args"])
    assert told["profile"] == mount(spec, "profile")["mountPath"] + "/clinic.yaml"
    copied = (ROOT / ".dockerignore").read_text().split()
    assert told["params"] == "/opt/scintiflow/params.yaml"
    assert "!params.yaml" in copied
    assert told["model"] == "scintiflow@champion"


def test_the_probes_ask_for_pages_that_the_node_has(spec):
    container = spec["containers"][0]
    asked = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {"startupProbe": "/livez", "readinessProbe": "/healthz", "livenessProbe": "/livez"}
    assert all(f"`{page}`" in (answering.__doc__ or "") for page in asked.values())


def test_a_hospital_sets_every_address_once(program, tmp_path):
    own = tmp_path / "mine"
    shutil.copytree(FOLDER, own)
    text = (own / "kustomization.yaml").read_text()
    for name, value in PLACES.items():
        text, found = re.subn(rf"- {name}=\S+", f"- {name}={value}", text)
        assert found == 1
    (own / "kustomization.yaml").write_text(text)
    done = subprocess.run([program, "kustomize", str(own)], capture_output=True, text=True, check=True)
    objects = list(yaml.safe_load_all(done.stdout))
    (policy,) = of_kind(objects, "NetworkPolicy")
    (balancer,) = [each for each in of_kind(objects, "Service") if each["metadata"]["name"] == "dicom"]
    ingress, egress = policy["spec"]["ingress"], policy["spec"]["egress"]
    assert balancer["spec"]["loadBalancerSourceRanges"] == [PLACES["modalities"]]
    assert ingress[0]["from"] == [{"ipBlock": {"cidr": PLACES["modalities"]}}]
    assert egress[0]["to"] == [{"ipBlock": {"cidr": PLACES["archive"]}}]
    assert ingress[1]["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": PLACES["monitoring"]
    }
    assert "192.0.2." not in done.stdout
