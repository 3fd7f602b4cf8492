"""A small Kubernetes API server for tests: the REST paths of pods, their logs and TrainJobs, state in memory.

It knows nothing of scintiflow's client. A TrainJob is checked field by field against Kubeflow Trainer's own models,
as strictly as a real server checks against the schema of the resource; a label selector, a field selector, a watch
and a followed log mean what they mean to Kubernetes. Trainer's controller is a function of the test, which is told
of each new job and sets its conditions and pods.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml
from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob

NAMESPACE, TOKEN = "scintiflow", "token-of-the-step"
JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class RefusalError(Exception):
    """An answer other than 2xx, as a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code = code
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.body = status | {"reason": reason, "message": message, "code": code}


class KubernetesApiServer:
    """The state of the server; tests change it and look at it.

    Attributes:
        controller: called in a thread of its own with the name of each new TrainJob.
        forbidden: (verb, resource) pairs that the account may not use.
        knows_trainer: whether the resource TrainJob is installed.
        requests: (method, path) of everything that was asked.
    """

    def __init__(self) -> None:
        self.controller: Callable[[str], None] = lambda name: None
        self.forbidden: set[tuple[str, str]] = set()
        self.knows_trainer = True
        self.created: list[dict] = []
        self.deleted: list[tuple[str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, dict] = {}
        self.changed = threading.Condition()
        self._logs: dict[str, list[bytes]] = {}
        self._events: list[tuple[int, str, dict]] = []
        self._version = 100
        outer = self

        class Handler(_Handler):
            state = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "KubernetesApiServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig of the account, written to `path`."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    # --- what the test does in the cluster's place ---------------------------------------------------------

    def add_pod(self, name: str, labels: dict[str, str], phase: str = "Running", **spec: object) -> dict:
        with self.changed:
            self._version += 1
            metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "uid": str(uuid.uuid4())}
            created = datetime.now(UTC).isoformat(timespec="microseconds")
            metadata["creationTimestamp"] = created.replace("+00:00", "Z")
            containers = [{"name": "node", "image": "image"}]
            pod = {"metadata": metadata, "spec": {"containers": containers} | spec, "status": {"phase": phase}}
            self.pods[name] = pod
            self._logs[name] = []
            self.changed.notify_all()
        return pod

    def add_node(self, job: str, name: str, index: int = 0, phase: str = "Running") -> dict:
        labels = {"jobset.sigs.k8s.io/jobset-name": job, "batch.kubernetes.io/job-completion-index": str(index)}
        return self.add_pod(name, labels, phase)

    def set_phase(self, pod: str, phase: str, **status: object) -> None:
        with self.changed:
            self.pods[pod]["status"] = {"phase": phase} | status
            self.changed.notify_all()

    def say(self, pod: str, text: str) -> None:
        with self.changed:
            self._logs[pod].append(text.encode())
            self.changed.notify_all()

    def set_condition(self, job: str, kind: str, reason: str, message: str) -> None:
        with self.changed:
            if job not in self.jobs:
                return
            condition = {"type": kind, "status": "True", "reason": reason, "message": message}
            condition["lastTransitionTime"] = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            self.jobs[job].setdefault("status", {}).setdefault("conditions", []).append(condition)
            self._event("MODIFIED", self.jobs[job])

    # --- what the API does ---------------------------------------------------------------------------------

    def create_job(self, body: dict) -> dict:
        model = TrainerV1alpha1TrainJob.from_dict(body)
        if model is None or model.to_dict() != body:
            raise RefusalError(400, "BadRequest", "TrainJob in version v1alpha1 cannot be handled: unknown field")
        name = body["metadata"]["name"]
        with self.changed:
            if name in self.jobs:
                raise RefusalError(409, "AlreadyExists", f'trainjobs.trainer.kubeflow.org "{name}" already exists')
            metadata = body["metadata"] | {"namespace": NAMESPACE, "uid": str(uuid.uuid4())}
            self.jobs[name] = body | {"metadata": metadata}
            self.created.append(body)
            self._event("ADDED", self.jobs[name])
            answer = json.loads(json.dumps(self.jobs[name]))
        threading.Thread(target=self.controller, args=(name,), daemon=True).start()
        return answer

    def get_job(self, name: str) -> dict:
        with self.changed:
            if name not in self.jobs:
                raise RefusalError(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{name}" not found')
            return json.loads(json.dumps(self.jobs[name]))

    def delete_job(self, name: str, body: dict) -> dict:
        job = self.get_job(name)
        with self.changed:
            self.deleted.append((name, body.get("propagationPolicy", "")))
            del self.jobs[name]
            for pod in [
                each for each in self.pods.values() if _labels(each).get("jobset.sigs.k8s.io/jobset-name") == name
            ]:
                del self.pods[pod["metadata"]["name"]]
            self._event("DELETED", job)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def events_since(self, version: int, name: str, seconds: float) -> "list[dict] | None":
        """Watch events after a version, waiting for one; None when the time is up."""
        with self.changed:
            self.changed.wait_for(lambda: self._since(version, name), seconds)
            found = self._since(version, name)
            return [{"type": kind, "object": content} for _, kind, content in found] or None

    def log_from(self, pod: str, piece: int, seconds: float) -> tuple[list[bytes], bool]:
        """Pieces of a log from number `piece` on, and whether no more will come."""
        with self.changed:
            if pod not in self._logs:
                raise RefusalError(404, "NotFound", f'pods "{pod}" not found')
            over = lambda: pod not in self.pods or self.pods[pod]["status"]["phase"] in ("Succeeded", "Failed")  # noqa: E731
            self.changed.wait_for(lambda: len(self._logs[pod]) > piece or over(), seconds)
            return self._logs[pod][piece:], over()

    def _since(self, version: int, name: str) -> list:
        return [e for e in self._events if e[0] > version and e[2]["metadata"]["name"] == name]

    def _event(self, kind: str, job: dict) -> None:
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)
        self._events.append((self._version, kind, json.loads(json.dumps(job))))
        self.changed.notify_all()


def _labels(pod: dict) -> dict[str, str]:
    return pod["metadata"].get("labels", {})


def _selected(pods: dict[str, dict], selector: str) -> list[dict]:
    wanted = dict(each.split("=", 1) for each in selector.split(",") if each)
    return [pod for pod in pods.values() if wanted.items() <= _labels(pod).items()]


class _Handler(BaseHTTPRequestHandler):
    state: KubernetesApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.state.requests.append((method, url.path))
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise RefusalError(401, "Unauthorized", "Unauthorized")
            self._route(method, url.path, query, body)
        except RefusalError as refusal:
            self._answer(refusal.body, refusal.code)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _route(self, method: str, path: str, query: dict, body: dict) -> None:
        if path == JOBS or path.startswith(f"{JOBS}/"):
            self._route_job(method, path.removeprefix(JOBS).strip("/"), query, body)
        elif path == PODS and method == "GET":
            self._may("list", "pods")
            with self.state.changed:
                found = _selected(self.state.pods, query.get("labelSelector", ""))
            self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found})
        elif path.startswith(f"{PODS}/") and path.endswith("/log"):
            self._may("get", "pods/log")
            self._log(path.split("/")[-2], query)
        elif path.startswith(f"{PODS}/"):
            self._may("get", "pods")
            name = path.rsplit("/", 1)[1]
            if name not in self.state.pods:
                raise RefusalError(404, "NotFound", f'pods "{name}" not found')
            self._answer({"kind": "Pod", "apiVersion": "v1"} | self.state.pods[name])
        else:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")

    def _route_job(self, method: str, name: str, query: dict, body: dict) -> None:
        if not self.state.knows_trainer:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        if method == "POST":
            self._may("create", "trainjobs")
            self._answer(self.state.create_job(body), 201)
        elif method == "DELETE":
            self._may("delete", "trainjobs")
            self._answer(self.state.delete_job(name, body))
        elif name:
            self._may("get", "trainjobs")
            self._answer(self.state.get_job(name))
        else:
            self._may("watch", "trainjobs")
            self._watch(query)

    def _may(self, verb: str, resource: str) -> None:
        if (verb, resource) in self.state.forbidden:
            who = "system:serviceaccount:scintiflow:default"
            raise RefusalError(403, "Forbidden", f'{resource} is forbidden: User "{who}" cannot {verb} resource')

    def _watch(self, query: dict) -> None:
        name = query["fieldSelector"].removeprefix("metadata.name=")
        version, end = int(query["resourceVersion"]), time.monotonic() + float(query["timeoutSeconds"])
        self._begin("application/json")
        while (left := end - time.monotonic()) > 0:
            for event in self.state.events_since(version, name, left) or []:
                version = int(event["object"]["metadata"]["resourceVersion"])
                self._chunk(json.dumps(event).encode() + b"\n")
        self._chunk(b"")

    def _log(self, pod: str, query: dict) -> None:
        piece, over = 0, False
        self.state.log_from(pod, 0, 0)
        self._begin("text/plain")
        while not over:
            pieces, over = self.state.log_from(pod, piece, 1.0 if query.get("follow") == "true" else 0)
            piece += len(pieces)
            for each in pieces:
                self._chunk(each)
        self._chunk(b"")

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _answer(self, content: dict, code: int = 200) -> None:
        encoded = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)
