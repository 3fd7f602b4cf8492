"""The shipped triggers: they parse, their references meet, and what they call exists.

That the CronJob's script does what it says is proved by running it, in tests/e2e/test_e2e_two_clones.py.
"""

import fnmatch
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from kubernetes import client
from kubernetes.client import ApiClient

from scintiflow.cli import app

ROOT = Path(__file__).parents[2]
TRIGGERS = ROOT / "infra" / "kubernetes" / "triggers"
WORKFLOW = ROOT / ".github" / "workflows" / "retrain.yml"
SECRETS = {"cohorts-remote", "repository-read-key"}  # docs/how-to/retrain.md says how to make them


def manifests() -> dict[str, dict]:
    documents = [
        d for name in ("cronjob.yaml", "workspace.yaml") for d in yaml.safe_load_all((TRIGGERS / name).read_text())
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
        ("PersistentVolumeClaim", "V1PersistentVolumeClaim"),
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
    assert pod()["serviceAccountName"] == manifests()["ServiceAccount"]["metadata"]["name"]
    claim = volumes["workspace"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests()["PersistentVolumeClaim"]["metadata"]["name"]
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
    assert any(line.startswith("retrain --if-needed") for line in called)
    for line in called:
        name, *arguments = shlex.split(line)
        command = program.commands[name]
        if hasattr(command, "commands"):  # a group
            command = command.commands[arguments.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options, line


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed: see kubernetes.io/docs/tasks/tools"
)
def test_kustomize_renders_what_the_files_say():
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(TRIGGERS)], check=True, capture_output=True, text=True
    ).stdout
    documents = list(yaml.safe_load_all(rendered))
    assert {document["metadata"]["namespace"] for document in documents} == {"scintiflow"}
    maps = {document["metadata"]["name"] for document in documents if document["kind"] == "ConfigMap"}
    job = next(document for document in documents if document["kind"] == "CronJob")
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"][0]["configMapRef"]["name"] in maps
    assert not container["image"].endswith(":latest")
