"""Every key of the section `placement` reaches the IR that a cluster gets, and no key re-runs a step."""

from pathlib import Path

import pytest
import yaml

from scintiflow.cluster.compilation import cluster_arguments, compile_retrain
from scintiflow.errors import ScintiflowError
from scintiflow.params import Params, changed, load_params
from scintiflow.params.placement import StepPlacement, amount
from scintiflow.stages.graph import BY_NAME, TITLES

ROOT = Path(__file__).parents[2]

# A place in which every key differs from params.yaml.
EVERYTHING = {
    "every_step": {
        "user": 2000,
        "cpu": "2500m",
        "memory": "24Gi",
        "shared_memory": "3Gi",
        "gpu_type": "nvidia.com/mig-3g.20gb",
        "node_labels": ["topology.kubernetes.io/zone=a", "disk=ssd"],
        "tolerations": ["dedicated=imaging:NoExecute", "spot:PreferNoSchedule"],
        "queue": "imaging",
        "priority_class": "nightly",
        "retry_after_seconds": 7,
        "retry_factor": 1.5,
        "retry_at_most_seconds": 90,
        "settings": [{"env": "HTTPS_PROXY", "config_map": "proxy", "key": "url"}],
        "secrets": [{"env": "AWS_SECRET_ACCESS_KEY", "secret": "object-store", "key": "secret-key"}],
        "secret_files": [{"secret": "object-store-ca", "path": "/etc/object-store"}],
        "volumes": [{"claim": "cohorts-2026", "path": "/cohorts"}],
    },
    "evaluate": {
        "gpus": 2,
        "cpu": "2500m",
        "memory": "24Gi",
        "shared_memory": "3Gi",
        "tolerations": ["spot:NoExecute"],
    },
    "train_cascade": {"timeout_minutes": 90, "retries": 9},
    "distil_priors": {"shards": 2},
}


def recipe(tmp_path, placement: dict | None) -> Params:
    if placement is None:
        return load_params(ROOT / "params.yaml")
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"placement": placement}))
    return load_params(ROOT / "params.yaml", overlay)


def compiled(params: Params, target: Path) -> tuple[dict, dict]:
    """The two documents of the IR: the pipeline, and what Kubernetes alone is told."""
    compile_retrain(target, params)
    pipeline, platform = yaml.safe_load_all(target.read_text())
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    folder = tmp_path_factory.mktemp("everything")
    return compiled(recipe(folder, EVERYTHING), folder / "ir.yaml")


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    folder = tmp_path_factory.mktemp("production")
    return compiled(recipe(folder, None), folder / "ir.yaml")


def test_resources_of_a_step_are_request_and_limit_alike(everything):
    container = everything[0]["deploymentSpec"]["executors"]["exec-evaluate"]["container"]
    resources = container["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == ("2500m", "2500m")
    assert (resources["resourceMemoryRequest"], resources["resourceMemoryLimit"]) == ("24Gi", "24Gi")
    accelerator = resources["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/mig-3g.20gb", "2")


def test_a_step_without_gpus_asks_for_none(everything):
    assert (
        "accelerator"
        not in everything[0]["deploymentSpec"]["executors"]["exec-restore-real"]["container"]["resources"]
    )


def test_what_kubernetes_alone_is_told(everything):
    told = everything[1]["exec-evaluate"]
    assert told["emptyDirMounts"] == [
        {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "3Gi"}
    ]
    assert told["securityContext"] == {"runAsUser": "2000", "runAsGroup": "2000", "runAsNonRoot": True}
    assert told["nodeSelector"]["labels"] == {"topology.kubernetes.io/zone": "a", "disk": "ssd"}
    assert told["tolerations"] == [{"key": "spot", "operator": "Exists", "effect": "NoExecute"}]
    labels = told["podMetadata"]["labels"]
    assert labels == {"kueue.x-k8s.io/queue-name": "imaging", "kueue.x-k8s.io/priority-class": "nightly"}
    assert [(entry["secretName"], entry["keyToEnv"], entry["optional"]) for entry in told["secretAsEnv"]] == [
        ("object-store", [{"secretKey": "secret-key", "envVar": "AWS_SECRET_ACCESS_KEY"}], False)
    ]
    assert [(entry["secretName"], entry["mountPath"]) for entry in told["secretAsVolume"]] == [
        ("object-store-ca", "/etc/object-store")
    ]
    assert [(entry["configMapName"], entry["keyToEnv"]) for entry in told["configMapAsEnv"]] == [
        ("proxy", [{"configMapKey": "url", "envVar": "HTTPS_PROXY"}])
    ]
    assert [(entry["constant"], entry["mountPath"]) for entry in told["pvcMount"]] == [("cohorts-2026", "/cohorts")]


def test_tolerations_with_and_without_a_value(everything):
    assert everything[1]["exec-restore-real"]["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "imaging", "effect": "NoExecute"},
        {"key": "spot", "operator": "Exists", "effect": "PreferNoSchedule"},
    ]


def test_timeouts_and_retries_are_the_steps_own_and_the_rest_is_every_steps(everything):
    assert everything[1]["exec-train-cascade"]["activeDeadlineSeconds"] == "5400"
    tasks = everything[0]["root"]["dag"]["tasks"]
    back_off = {"backoffDuration": "7s", "backoffFactor": 1.5, "backoffMaxDuration": "90s"}
    assert tasks["train-cascade"]["retryPolicy"] == back_off | {"maxRetryCount": 9}
    assert tasks["ingest"]["retryPolicy"] == back_off | {"maxRetryCount": 2}


def test_production_trains_on_a_gpu_with_room_in_shared_memory(production):
    pipeline, kubernetes = production
    accelerator = pipeline["deploymentSpec"]["executors"]["exec-train-cascade"]["container"]["resources"][
        "accelerator"
    ]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert kubernetes["exec-train-cascade"]["emptyDirMounts"][0]["mountPath"] == "/dev/shm"


@pytest.mark.parametrize("stage", BY_NAME)
def test_every_step_finds_the_parent_run_by_the_id_of_the_pipeline_run(production, stage):
    told = production[1][f"exec-{stage.replace('_', '-')}"]
    fields = {entry["name"]: entry["fieldPath"] for entry in told["fieldPathAsEnv"]}
    assert fields == {
        "SCINTIFLOW_PIPELINE_RUN": "metadata.labels['pipeline/runid']",
        "SCINTIFLOW_EXPERIMENT": "metadata.annotations['scintiflow/experiment']",
    }
    assert told["podMetadata"]["annotations"] == {"scintiflow/experiment": "scintiflow"}


def test_no_secret_value_stands_in_the_ir(production):
    names = {entry["secretName"] for told in production[1].values() for entry in told["secretAsEnv"]}
    assert names == {"mlflow-client"}
    for executor in production[0]["deploymentSpec"]["executors"].values():
        assert "env" not in executor["container"]


def test_a_change_of_place_re_runs_nothing(everything, production, tmp_path):
    """Caches compare image, command, arguments and environment of a step, and its inputs."""
    compared = ("image", "command", "args")
    for name, executor in production[0]["deploymentSpec"]["executors"].items():
        other = everything[0]["deploymentSpec"]["executors"][name]
        assert [executor["container"][key] for key in compared] == [other["container"][key] for key in compared]
    for name, task in production[0]["root"]["dag"]["tasks"].items():
        assert task["inputs"] == everything[0]["root"]["dag"]["tasks"][name]["inputs"]
    here, there = recipe(tmp_path, None), recipe(tmp_path, EVERYTHING)
    for stage in BY_NAME:
        assert here.section(stage).sha256() == there.section(stage).sha256()


def test_a_run_on_a_cluster_reads_the_sources_where_the_volume_is_mounted(tmp_path):
    arguments = cluster_arguments(recipe(tmp_path, None), {"cohorts": "c0", "truth": "7u"}, registry="one")
    assert {name: value for name, value in arguments.items() if not name.endswith("_params")} == {
        "cohorts": "/data/cohorts",
        "cohorts_sha256": "c0",
        "truth": "/data/truth",
        "truth_sha256": "7u",
        "registry": "one",
    }
    assert {name.removesuffix("_params") for name in arguments if name.endswith("_params")} == set(BY_NAME)
    pinned = cluster_arguments(recipe(tmp_path, None), {"cohorts": "c0", "truth": "7u"}, "one", f"u@{'a' * 40}")
    assert pinned == arguments | {"cohorts": f"u@{'a' * 40}"}


@pytest.mark.parametrize(
    "url",
    ["", "https://git.example.org/s.git", "git@git.example.org:hospital/s.git", "ssh://git@git.example.org:22/s"],
)
def test_steps_may_fetch_from_a_repository(tmp_path, url):
    assert recipe(tmp_path, {"cohorts_from": url}).placement.cohorts_from == url


def test_the_documented_placement_gives_the_steps_that_fetch_all_that_they_need(tmp_path):
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text()
    (block,) = [block for block in page.split("```") if "cohorts_from:" in block]
    values = yaml.safe_load(block)["placement"]
    placement = recipe(tmp_path, values).placement
    usual = {item.env for item in [*placement.every_step.settings, *placement.every_step.secrets]}
    store = {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for stage in ("ingest", "restore_real"):
        step = placement.step(stage)
        assert {item.env for item in [*step.settings, *step.secrets]} == usual | store


@pytest.mark.parametrize("url", ["https://me:secret@git.example.org/s.git", "ssh://me:secret@git.example.org/s", "s"])
def test_no_password_gets_into_a_recorded_address(tmp_path, url):
    with pytest.raises(ScintiflowError, match=r"placement\.cohorts_from"):
        recipe(tmp_path, {"cohorts_from": url})


@pytest.mark.parametrize(
    ("placement", "key", "reason"),
    [
        ({"every_step": {"cpu": "many"}}, "placement.every_step.cpu", "pattern"),
        ({"every_step": {"tolerations": ["gpu:Never"]}}, "placement.every_step.tolerations.0", "pattern"),
        ({"every_step": {"node_labels": ["zone"]}}, "placement.every_step.node_labels.0", "pattern"),
        ({"every_step": {"memory": "1Gi", "shared_memory": "2Gi"}}, "placement.every_step", "smaller than 1Gi"),
        ({"evaluate": {"shared_memory": "64Gi"}}, "placement.evaluate", "smaller than 32Gi"),
        ({"train_cascade": {"retries": -1}}, "placement.train_cascade.retries", "greater than or equal"),
        ({"every_step": {"volumes": [{"claim": "data"}]}}, "placement.every_step.volumes.0.path", "missing"),
        ({"every_step": {"volumes": [{"claim": "a", "path": "/x", "mode": 1}]}}, "volumes.0.mode", "unknown key"),
        (
            {"every_step": {"secrets": [{"env": "A", "secret": "s", "key": k} for k in "xy"]}},
            "every_step",
            "'A' is given twice",
        ),
        ({"evaluate": {"shards": 2}}, "placement", "only ingest and distil_priors can be done by several pods"),
        ({"train_cascade": {"gpu": 1}}, "placement.train_cascade.gpu", "Did you mean 'gpus'?"),
    ],
)
def test_a_wrong_place_is_refused_with_its_key(tmp_path, placement, key, reason):
    with pytest.raises(ScintiflowError) as refusal:
        recipe(tmp_path, placement)
    assert key in str(refusal.value)
    assert reason in str(refusal.value)


def test_a_key_may_be_overridden_for_a_step_that_does_not_name_it_yet(tmp_path):
    placement = recipe(tmp_path, {"restore_real": {"gpus": 1}}).placement
    assert placement.restore_real.gpus == 1
    assert placement.restore_real.cpu == placement.every_step.cpu


@pytest.mark.parametrize(
    ("devices", "nodes", "gpus", "reason"),
    [(1, 1, 4, "train_cascade.devices is 1"), (4, 1, 1, "train_cascade.devices is 4"), (2, 2, 2, "while it waits")],
)
def test_gpus_that_training_would_not_use_are_refused(tmp_path, devices, nodes, gpus, reason):
    params = recipe(tmp_path, {"train_cascade": {"gpus": gpus}})
    training = changed(params.train_cascade, devices=devices, nodes=nodes)
    with pytest.raises(ScintiflowError, match=reason):
        compile_retrain(tmp_path / "ir.yaml", params.model_copy(update={"train_cascade": training}))


@pytest.mark.parametrize(
    ("stage", "step", "waits_for"),
    [("ingest", "ingest", set()), ("distil_priors", "distil-priors", {"ingest", "adapt-sam"})],
)
def test_a_step_is_shared_by_as_many_pods_as_params_say(stage, step, waits_for, tmp_path, production):
    pipeline, kubernetes = compiled(recipe(tmp_path, {stage: {"shards": 3}}), tmp_path / "ir.yaml")
    tasks = pipeline["root"]["dag"]["tasks"]
    names = [name for name in tasks if name.startswith(f"{step}-share")]
    inputs = [tasks[name]["inputs"]["parameters"] for name in names]
    constants = [{key: each[key]["runtimeValue"]["constant"] for key in ("share", "shares")} for each in inputs]
    assert constants == [{"share": number, "shares": 3} for number in range(3)]
    titles = [tasks[name]["taskInfo"]["name"] for name in names]
    assert titles == [f"{TITLES[stage]}, share {number} of 3" for number in (1, 2, 3)]
    assert set(tasks[step]["dependentTasks"]) == {*waits_for, *names}
    for name in names:
        assert set(tasks[name].get("dependentTasks", ())) == waits_for
        ahead = dict(tasks[name]["inputs"]["parameters"])
        assert [ahead.pop("share"), ahead.pop("shares")]
        assert tasks[name]["inputs"] | {"parameters": ahead} == tasks[step]["inputs"], "a share does the step's work"
        assert tasks[name]["cachingOptions"] == tasks[step]["cachingOptions"]
        assert tasks[name]["retryPolicy"] == tasks[step]["retryPolicy"]
    assert tasks.keys() - set(names) == production[0]["root"]["dag"]["tasks"].keys()
    for name in names:
        executor = pipeline["components"][tasks[name]["componentRef"]["name"]]["executorLabel"]
        place = kubernetes[executor]
        assert place == kubernetes[f"exec-{step}"]
        container = dict(pipeline["deploymentSpec"]["executors"][executor]["container"])
        own = pipeline["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
        assert (container["resources"], container["image"]) == (own["resources"], own["image"])


def test_quantities_are_compared_by_what_they_mean():
    assert amount("500m") * 2 == amount("1")
    assert amount("1024Mi") == amount("1Gi") > amount("1G")


def test_every_key_of_a_place_is_tried_above():
    tried = {key for section in EVERYTHING.values() for key in section}
    assert tried == set(StepPlacement.model_fields)
