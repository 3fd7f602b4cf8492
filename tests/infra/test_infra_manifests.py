"""Manifests render, satisfy the schemas to the letter, and every name in them leads to something."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api.models.trainer_v1alpha1_training_runtime import TrainerV1alpha1TrainingRuntime
from manifests import BESIDE, KUBERNETES, OVERLAYS, Pod, name_of, names, of_kind, pods, rendered

from scintiflow.params import load_params
from scintiflow.params.placement import amount
from scintiflow.stages.graph import BY_NAME

ROOT = KUBERNETES.parents[1]
VERSIONS = ("1.31", "1.37")

pytestmark = pytest.mark.parametrize("program", ["kubectl"], indirect=True)


def check_schema(each: dict, version: str) -> None:
    kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_satisfies_its_schema_strictly(objects, version):
    for each in objects:
        if each["kind"] != "TrainingRuntime":
            check_schema(each, version)


def test_a_misspelt_field_would_be_found(objects):
    broken = copy.deepcopy(of_kind(objects, "Deployment")[0])
    broken["spec"]["template"]["spec"]["serviceAcountName"] = "mlflow"
    with pytest.raises(kubernetes_validate.ValidationError):
        check_schema(broken, VERSIONS[-1])


def test_the_training_runtime_is_what_kubeflow_trainer_reads(objects):
    """Trainer's own models; they pass over unknown fields, so what they keep must be all that was written."""
    (runtime,) = of_kind(objects, "TrainingRuntime")
    assert TrainerV1alpha1TrainingRuntime.from_dict(runtime).to_dict() == runtime
    for pod in pods([runtime]):
        check_schema(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": pod.spec}, VERSIONS[-1]
        )


def test_no_object_is_there_twice(objects):
    everyone = [name_of(each) for each in objects]
    assert sorted(everyone) == sorted(set(everyone))


def test_everything_lives_in_one_namespace(objects):
    (namespace,) = names(objects, "Namespace")
    for each in objects:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == namespace, name_of(each)


# --- names that must lead somewhere ------------------------------------------------------------------------


def references(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key or None) of everything that a pod takes from elsewhere."""
    yield "ServiceAccount", pod.spec["serviceAccountName"], None
    for container in pod.containers:
        for source in container.get("envFrom", []):
            for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if reference in source:
                    yield kind, source[reference]["name"], None
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for kind, reference in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if reference in source:
                    yield kind, source[reference]["name"], source[reference]["key"]
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            for item in volume["configMap"].get("items", [{"key": None}]):
                yield "ConfigMap", volume["configMap"]["name"], item["key"]
        if "secret" in volume:
            for item in volume["secret"].get("items", [{"key": None}]):
                yield "Secret", volume["secret"]["secretName"], item["key"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None


def documented_secrets() -> set[tuple[str, str]]:
    """(Secret, key) of the table in infra/kubernetes/README.md; they are made by hand, never from this repository."""
    rows = re.findall(r"^\| `([a-z-]+)` \| `([A-Za-z._-]+)` \|", (KUBERNETES / "README.md").read_text(), re.MULTILINE)
    assert rows
    return set(rows)


def test_every_reference_of_a_pod_leads_to_an_object(objects):
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    for pod in pods(objects):
        for kind, name, key in references(pod):
            if kind == "ConfigMap":
                assert name in maps, f"{pod.owner}: {name}"
                assert key is None or key in maps[name], f"{pod.owner}: {name}/{key}"
            elif kind != "Secret":
                assert name in names(objects, kind), f"{pod.owner}: {kind} {name}"


def test_the_readme_lists_every_secret_and_no_other(objects):
    taken = {(name, key) for pod in pods(objects) for kind, name, key in references(pod) if kind == "Secret"}
    placement = load_params(ROOT / "params.yaml").placement
    taken |= {(secret.secret, secret.key) for stage in BY_NAME for secret in placement.step(stage).secrets}
    assert {name for name, _ in taken} == {name for name, _ in documented_secrets()}
    assert {(name, key) for name, key in taken if key} <= documented_secrets()


def test_no_secret_is_written_down(objects):
    assert not of_kind(objects, "Secret")
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                if re.search("PASSWORD$|SECRET|TOKEN|ACCESS_KEY", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], f"{pod.owner}: {variable['name']}"


def test_who_has_a_key_of_the_object_store_knows_where_it_is(objects):
    """Else it would ask AWS. The DVC remote names the bucket alone."""
    keyed = [
        (pod.owner, container)
        for pod in pods(objects)
        for container in pod.containers
        if "AWS_ACCESS_KEY_ID" in _variables(container)
    ]
    assert {"Job/pull-cohorts", "Deployment/mlflow"} <= {owner for owner, _ in keyed}
    for owner, container in keyed:
        told = _variables(container)
        assert "AWS_DEFAULT_REGION" in told, owner
        assert {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"} & told, owner


def _variables(container: dict) -> set[str]:
    return {variable["name"] for variable in container.get("env", [])}


def test_what_the_steps_of_a_pipeline_take_is_there(objects):
    """`placement` of params.yaml and the manifests are two halves of one thing."""
    placement = load_params(ROOT / "params.yaml").placement
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    for stage in BY_NAME:
        step = placement.step(stage)
        for setting in step.settings:
            assert setting.key in maps[setting.config_map]
        paths = {volume.claim: volume.path for volume in step.volumes}
        assert set(paths) <= names(objects, "PersistentVolumeClaim")
        assert placement.cohorts.startswith(paths["scintiflow-data"])
        assert maps["scintiflow-settings"]["checkpoints"] == paths["scintiflow-checkpoints"]


def test_the_steps_run_as_the_user_that_fills_their_volume(objects):
    placement = load_params(ROOT / "params.yaml").placement
    users = {
        pod.spec["securityContext"]["runAsUser"] for pod in pods(objects) if "scintiflow-python" in str(pod.spec)
    }
    assert users == {placement.every_step.user}


def test_selectors_find_their_pods_and_only_theirs(objects):
    everyone = list(pods(objects))
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        wanted = workload["spec"]["selector"]["matchLabels"].items()
        assert [pod.owner for pod in everyone if wanted <= pod.labels.items()] == [name_of(workload)]


def test_services_lead_to_a_named_port_of_one_workload(objects):
    for service in of_kind(objects, "Service"):
        selected = [pod for pod in pods(objects) if service["spec"]["selector"].items() <= pod.labels.items()]
        assert len(selected) == 1, name_of(service)
        ports = {port["name"] for container in selected[0].containers for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for stateful in of_kind(objects, "StatefulSet"):
        assert stateful["spec"]["serviceName"] in names(objects, "Service")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_every_address_inside_the_namespace_is_a_service_with_that_port(objects):
    ports = {
        (service["metadata"]["name"], port["port"])
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
    }
    address = re.compile(r"(?:[/@,=]|^)([a-z][a-z0-9-]*)((?:\.scintiflow(?:\.svc(?:\.cluster\.local)?)?)?):(\d+)")
    images = {container["image"] for pod in pods(objects) for container in pod.containers}
    text = [each for item in objects for each in strings(item) if each not in images and "registry" not in each]
    found = {(name, int(port)) for each in text for name, _, port in address.findall(each)}
    assert found == {("mlflow", 5000), ("postgresql", 5432)} == found & ports
    environment = [
        {
            variable["name"]: variable.get("value")
            for container in pod.containers
            for variable in container.get("env", [])
        }
        for pod in pods(objects)
    ]
    hosts = {(each["PGHOST"], int(each["PGPORT"])) for each in environment if "PGHOST" in each}
    assert hosts <= ports


def test_probes_ask_a_port_that_exists(objects):
    for pod in pods(objects):
        for container in pod.containers:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in ports


def test_mounts_and_volumes_belong_together(objects):
    templates = {
        name_of(each): {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        for each in of_kind(objects, "StatefulSet")
    }
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])} | templates.get(pod.owner, set())
        mounts = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        assert mounts == volumes, pod.owner


def test_roles_and_accounts_of_bindings_exist(objects):
    for binding in of_kind(objects, "RoleBinding"):
        assert binding["roleRef"]["name"] in names(objects, binding["roleRef"]["kind"])
        for subject in binding["subjects"]:
            assert subject["name"] in names(objects, "ServiceAccount")
            assert subject["namespace"] == "scintiflow"


def test_images_have_a_registry_and_a_version(objects):
    for pod in pods(objects):
        for container in pod.containers:
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[a-z/-]+:[\w.-]+", container["image"]), container["image"]
            assert not container["image"].endswith(":latest")


def test_cron_jobs_have_times_that_exist(objects):
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    for job in of_kind(objects, "CronJob"):
        for written, (least, most) in zip(job["spec"]["schedule"].split(), limits, strict=True):
            assert written == "*" or least <= int(written.removeprefix("*/")) <= most
        assert job["spec"]["concurrencyPolicy"] == "Forbid"


# --- room --------------------------------------------------------------------------------------------------


def quota(objects: list[dict]) -> dict[str, str]:
    return of_kind(objects, "ResourceQuota")[0]["spec"]["hard"]


def test_the_standing_services_and_the_largest_step_fit_into_the_quota_of_the_gpu_cluster(program):
    folders = ("overlays/gpu", "dicom-node")
    objects = [each for folder in folders for each in yaml.safe_load_all(rendered(program, folder))]
    placement = load_params(ROOT / "params.yaml").placement
    steps = [placement.step(stage) for stage in BY_NAME]
    standing = [
        container
        for pod in pods(objects)
        if not pod.owner.startswith("TrainingRuntime")
        for container in pod.containers
    ]
    for resource in ("cpu", "memory"):
        for bound in ("requests", "limits"):
            services = sum(amount(str(container["resources"][bound][resource])) for container in standing)
            largest = max(amount(getattr(step, resource)) for step in steps)
            assert services + largest <= amount(quota(objects)[f"{bound}.{resource}"]), (resource, bound)
    assert max(step.gpus for step in steps) <= int(quota(objects)["requests.nvidia.com/gpu"])


def test_nobody_holds_a_gpu_to_look_or_to_wait(objects):
    """Only the nodes of a training ask for one here; what a step asks for is `placement`, and is given back."""
    holders = {pod.owner for pod in pods(objects) for each in pod.containers if "gpu" in str(each["resources"])}
    assert holders <= {"TrainingRuntime/scintiflow-torch"}


def test_volumes_fit_into_the_quota(objects):
    claims = [claim["spec"] for claim in of_kind(objects, "PersistentVolumeClaim")]
    claims += [
        claim["spec"] for each in of_kind(objects, "StatefulSet") for claim in each["spec"]["volumeClaimTemplates"]
    ]
    asked = sum(amount(claim["resources"]["requests"]["storage"]) for claim in claims)
    assert asked <= amount(quota(objects)["requests.storage"])
    assert len(claims) <= int(quota(objects)["persistentvolumeclaims"])


def test_services_fit_into_the_quota(objects):
    """A load balancer that goes to the pods themselves takes no port of the machines."""
    services = [each["spec"] for each in of_kind(objects, "Service") if each["spec"].get("type") == "LoadBalancer"]
    assert len(services) <= int(quota(objects)["services.loadbalancers"])
    assert quota(objects)["services.nodeports"] == "0"
    assert all(spec["allocateLoadBalancerNodePorts"] is False for spec in services)


def test_all_nodes_of_the_training_runtime_fit_at_once(objects):
    (runtime,) = of_kind(objects, "TrainingRuntime")
    nodes = runtime["spec"]["mlPolicy"]["numNodes"]
    limits = next(pods([runtime])).containers[0]["resources"]["limits"]
    for resource in ("cpu", "memory"):
        assert nodes * amount(limits[resource]) <= amount(quota(objects)[f"limits.{resource}"])
    assert nodes * int(limits.get("nvidia.com/gpu", 0)) <= int(quota(objects)["requests.nvidia.com/gpu"])


def test_both_overlays_are_checked(program):
    assert {path.name for path in (KUBERNETES / "overlays").iterdir()} == set(OVERLAYS)
    assert {path.name for path in KUBERNETES.iterdir() if path.is_dir()} == {"base", "overlays", *BESIDE}
