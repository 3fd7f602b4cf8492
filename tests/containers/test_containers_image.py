"""The image that the Dockerfile makes: who runs in it, what is in it, and what is said of it."""

import json
import re
import subprocess

import pytest
from container_runs import ROOT
from docker_daemon import docker

from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import TITLES

pytestmark = [pytest.mark.containers, pytest.mark.timeout(7200)]
INSTALLED = """
import importlib.metadata, json
print(json.dumps({d.metadata['Name']: d.version for d in importlib.metadata.distributions(path=PATHS)}))
""".replace("PATHS", "['/opt/venv/lib/python3.11/site-packages']")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def installed(image):
    return {canonical(name): version for name, version in json.loads(image.run("python", "-c", INSTALLED)).items()}


@pytest.fixture(scope="module")
def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z0-9]\S*==", line))


def test_it_runs_as_nobody_special_and_writes_nowhere_but_in_tmp(image):
    assert image.run("id", "-u").strip() == "10001"
    script = "for place in / /opt/scintiflow /opt/venv/bin /etc /tmp; do test -w $place && echo $place; done"
    assert image.run("sh", "-c", script) == "/tmp\n"


@pytest.mark.parametrize("user", ["", "12345:0"])
def test_what_wants_to_keep_something_can_on_a_read_only_root(image, user):
    """Also as a user whom the image does not know, as some clusters give each namespace its own."""
    modules = "import getpass, matplotlib.pyplot, mlflow, dvc.repo, kfp, torch; getpass.getuser()"
    assert image.run("python", "-c", f"{modules}; print(torch.ones(2).sum())", user=user) == "tensor(2.)\n"
    script = "cd /tmp; git init -q p; cd p; dvc init -q; echo 1 >f; dvc add -q f; ls f.dvc"
    assert image.run("sh", "-ec", script, user=user) == "f.dvc\n"


def test_it_says_which_commit_it_is(image):
    config = json.loads(docker("image", "inspect", image.name, host=image.host).stdout)[0]["Config"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["revision"].removesuffix("+changes") == head.stdout.strip()
    assert {"title", "description", "version", "created", "licenses"} <= labels.keys()
    assert all(labels.values())
    assert f"SCINTIFLOW_GIT_SHA={labels['revision']}" in config["Env"]
    assert config["User"] == "10001:10001"
    assert image.name.split(":")[1] == labels["revision"].replace("+", "-")
    assert "python" in image.name  # kfp's own containers look for that


def test_its_code_is_the_code_of_this_checkout(image):
    """Else every step of a pipeline that is compiled here would refuse to run there."""
    code = "import json, sys; from scintiflow.stages.code_version import code_version as v;" \
           "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"  # fmt: skip
    assert json.loads(image.run("python", "-c", code, *TITLES)) == {name: code_version(name) for name in TITLES}


def test_it_holds_what_the_lock_says_and_no_development_tool(image, installed, locked):
    assert installed.pop("scintiflow")
    assert {name: version for name, version in installed.items() if locked.get(name) != version} == {}
    assert {"torch", "kfp", "mlflow", "dvc"} <= installed.keys()
    assert not {"pytest", "ruff", "mypy", "uv", "hatchling", "moto", "playwright", "cyclonedx-bom"} & installed.keys()
    absent = "for name in gcc make uv pytest ruff; do command -v $name; done; ls /opt"
    assert image.run("sh", "-c", absent).split() == ["lock", "scintiflow", "venv"]


def test_its_bill_of_materials_names_everything_in_it(image, installed):
    bill = json.loads(image.bill.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    urls = [component.get("purl", "") for component in bill["components"]]
    python = {canonical(url[9:].split("@")[0]) for url in urls if url.startswith("pkg:pypi/")}
    assert installed.keys() - python <= {"scintiflow"}  # which is what the bill is of
    debian = {url[15:].split("@")[0] for url in urls if url.startswith("pkg:deb/debian/")}
    listed = image.run("dpkg-query", "-W", "-f", "${Package}\\n").split()
    assert debian == {name.replace("+", "%2B") for name in listed} or debian == set(listed)
    assert "git" in debian
