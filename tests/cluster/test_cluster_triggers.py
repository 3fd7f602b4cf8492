"""The shipped triggers: they parse, their references meet, and what they call exists.

The CronJob's script runs here too, against an emulated Kubeflow Pipelines API and a real MLflow server.
"""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from kubernetes import client
from kubernetes.client import ApiClient
from versioned_project import git

from scintiflow.cli import app
from scintiflow.cluster.endpoint import DEFAULT_POD_TOKEN
from scintiflow.registry.lineage import recipe_of
from scintiflow.registry.runs import open_client

sys.path.append(str(Path(__file__).parents[1] / "registry"))
from mlflow_server import mlflow_server

ROOT = Path(__file__).parents[2]
TRIGGERS = ROOT / "infra" / "kubernetes" / "triggers"
WORKFLOW = ROOT / ".github" / "workflows" / "retrain.yml"
SECRETS = {"repository-read-key"}  # docs/how-to/retrain.md says how to make it


def manifests() -> dict[str, dict]:
    documents = [
        d for name in ("cronjob.yaml", "access.yaml") for d in yaml.safe_load_all((TRIGGERS / name).read_text())
    ]
    return {document["kind"]: document for document in documents}


def kustomization() -> dict:
    return yaml.safe_load((TRIGGERS / "kustomization.yaml").read_text())


def pod() -> dict:
    return manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]


class _Answer:
    """What the client's deserializer reads: the body of an answer."""

    def __init__(self, text: str) -> None:
        self.data = text


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("CronJob", "V1CronJob"),
        ("ServiceAccount", "V1ServiceAccount"),
        ("Role", "V1Role"),
        ("RoleBinding", "V1RoleBinding"),
    ],
)
def test_every_field_of_a_manifest_is_one_that_kubernetes_knows(kind, model):
    import json

    document = manifests()[kind]
    api = ApiClient(client.Configuration())
    known = api.sanitize_for_serialization(api.deserialize(_Answer(json.dumps(document)), model))
    assert known == document  # a misspelt field would be gone


def test_references_meet():
    generated = {entry["name"] for entry in kustomization()["configMapGenerator"]}
    container = pod()["containers"][0]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    config_maps = {source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source}
    config_maps |= {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    assert config_maps == generated
    secrets = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
    secrets |= {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
    assert secrets == SECRETS
    how_to = (ROOT / "docs" / "how-to" / "retrain.md").read_text()
    assert all(secret in how_to for secret in SECRETS)
    account = manifests()["ServiceAccount"]["metadata"]["name"]
    assert pod()["serviceAccountName"] == account == manifests()["RoleBinding"]["subjects"][0]["name"]
    assert manifests()["RoleBinding"]["roleRef"]["name"] == manifests()["Role"]["metadata"]["name"]
    token = next(mount for mount in container["volumeMounts"] if mount["name"] == "kubeflow-token")
    assert Path(token["mountPath"], "token") == Path(DEFAULT_POD_TOKEN)
    assert kustomization()["images"][0]["name"] == container["image"]
    script = Path(container["command"][-1])
    assert script.parent.as_posix() == next(
        m["mountPath"] for m in container["volumeMounts"] if m["name"] == "trigger"
    )
    files = [entry["files"] for entry in kustomization()["configMapGenerator"] if "files" in entry]
    assert files == [[script.name]]
    assert all((TRIGGERS / name).is_file() for name in kustomization()["resources"] + files[0])


def test_one_look_at_a_time_and_no_retry_storm():
    job = manifests()["CronJob"]["spec"]
    assert re.fullmatch(r"(\*|\*/[1-9]\d?|\d{1,2})( (\*|\*/\d{1,2}|\d{1,2})){4}", job["schedule"])
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod()["restartPolicy"] == "Never"


def test_looking_costs_no_gpu_and_needs_no_scan():
    (container,) = pod()["containers"]
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert "gpu" not in str(pod())
    assert "AWS" not in str(pod()), "whoever only looks gets no key of the object store"
    assert not any("persistentVolumeClaim" in volume for volume in pod()["volumes"])


def test_the_script_is_given_every_variable_that_it_reads():
    script = (TRIGGERS / "watch-branch.sh").read_text()
    subprocess.run(["sh", "-n", str(TRIGGERS / "watch-branch.sh")], check=True)
    literals = next(entry["literals"] for entry in kustomization()["configMapGenerator"] if "literals" in entry)
    given = {line.split("=")[0] for line in literals}
    assert set(re.findall(r"\$\{?([A-Z]+)", script)) <= given


def test_a_changed_cohort_fires_the_workflow_and_it_cannot_push():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    events = workflow[True]  # YAML 1.1 reads the key 'on' as true
    assert any(fnmatch.fnmatch("data/cohorts/2026-11.dvc", pattern) for pattern in events["push"]["paths"])
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("path", [WORKFLOW, TRIGGERS / "watch-branch.sh"], ids=lambda path: path.name)
def test_every_scintiflow_command_in_a_trigger_exists_with_its_options(path):
    program = typer.main.get_command(app)
    called = re.findall(r"(?:^|/|exec )scintiflow ([a-z][^|#\n]*)", path.read_text(), re.MULTILINE)
    assert any(line.startswith(("retrain --if-needed", "pipeline submit --if-needed")) for line in called)
    for line in called:
        name, *arguments = shlex.split(line)
        command = program.commands[name]
        if hasattr(command, "commands"):  # a group
            command = command.commands[arguments.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options, line


def test_kustomize_renders_what_the_files_say(need):
    kubectl = need("kubectl", shutil.which("kubectl"))
    rendered = subprocess.run(
        [kubectl, "kustomize", str(TRIGGERS)], check=True, capture_output=True, text=True
    ).stdout
    documents = list(yaml.safe_load_all(rendered))
    assert {document["metadata"]["namespace"] for document in documents} == {"scintiflow"}
    maps = {document["metadata"]["name"] for document in documents if document["kind"] == "ConfigMap"}
    job = next(document for document in documents if document["kind"] == "CronJob")
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"][0]["configMapRef"]["name"] in maps
    assert not container["image"].endswith(":latest")
    told = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert told["SCINTIFLOW_IMAGE"] == container["image"], "the steps must run the code that was looked at"


# --- the script runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder / "artifacts") as address:
        yield address


@pytest.fixture
def branch(tmp_path):
    """A data team's clone of a hospital's repository, whose steps fetch cohorts from there. No scan is anywhere."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", "origin")
    git(tmp_path, "clone", "--quiet", "origin", "team")
    team = tmp_path / "team"
    for folder in ("data/cohorts", "data/truth", "profiles"):
        (team / folder).mkdir(parents=True)
    (team / "data" / "truth" / "README.md").write_text("No clinic has the truth.\n")
    shutil.copy(ROOT / "params.yaml", team)
    only = {"cohorts": ["2026-11"]}
    clinic = {"ingest": only, "restore_real": only, "placement": {"cohorts_from": f"file://{tmp_path}/origin"}}
    (team / "profiles" / "clinic.yaml").write_text(yaml.safe_dump(clinic))
    (team / "profiles" / "volume.yaml").write_text(yaml.safe_dump({"ingest": only, "restore_real": only}))
    deliver(team, "1")
    return team


def deliver(team: Path, digit: str) -> str:
    """Another version of the cohort; its commit."""
    out = {"md5": f"{digit * 32}.dir", "size": 1, "nfiles": 1, "hash": "md5", "path": "2026-11"}
    (team / "data" / "cohorts" / "2026-11.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    git(team, "add", "--all")
    git(team, "commit", "--quiet", "--message", "Delivery")
    git(team, "push", "--quiet", "origin", "HEAD:main")
    return git(team, "rev-parse", "HEAD")


@pytest.fixture
def fire(branch, server, mlflow, tmp_path):
    """One look of the CronJob, in a workspace as empty as a new pod's."""

    def once(profile: str = "clinic") -> tuple[int, str]:
        workspace = tmp_path / "workspace"
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir()
        given = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "REPOSITORY": str(tmp_path / "origin"),
            "BRANCH": "main",
            "WORKSPACE": str(workspace),
            "PROFILE": profile,
            "MLFLOW_TRACKING_URI": mlflow,
            "KF_PIPELINES_ENDPOINT": server.url,
            "SCINTIFLOW_IMAGE": "registry.example/scintiflow-python:0123abc",
            "SCINTIFLOW_GIT_SHA": "c" * 40,
        }
        command = ["sh", str(TRIGGERS / "watch-branch.sh")]
        done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return once


def test_a_delivery_is_submitted_once_and_pinned(fire, server, branch, tmp_path, mlflow, monkeypatch):
    first = git(branch, "rev-parse", "HEAD")
    code, said = fire()
    assert (code, "Submitted" in said) == (0, True), said
    code, said = fire()
    assert (code, "is doing this very work" in said) == (0, True), said
    second = deliver(branch, "2")
    code, said = fire()
    assert (code, "Submitted" in said) == (0, True), said

    sent = [run["runtime_config"]["parameters"]["cohorts"] for run in server.runs.values()]
    assert sent == [f"file://{tmp_path}/origin@{commit}" for commit in (first, second)]
    assert {run["service_account"] for run in server.runs.values()} == {"pipeline-steps"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    client = open_client()
    experiment = client.get_experiment_by_name("scintiflow").experiment_id
    newest, _ = client.search_runs([experiment])
    assert newest.data.tags["scintiflow.cohort.2026-11"] == f"dvc:{'2' * 32}.dir"
    assert recipe_of(newest.info.run_id)["ingest"]["cohorts"] == ["2026-11"]


def test_a_recipe_whose_steps_would_read_a_volume_is_not_submitted(fire, server):
    code, said = fire("volume")
    assert (code, "placement.cohorts_from" in said) == (2, True), said
    assert server.requests == []
