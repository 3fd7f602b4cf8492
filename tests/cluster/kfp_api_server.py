"""A small Kubeflow Pipelines API server for tests: the v2beta1 OpenAPI over HTTP, with its state in memory.

It knows nothing of scintiflow's client. Bodies are checked field by field against the generated models of
kfp_server_api, as strictly as the real gateway (an unknown field or a wrong type is 400); pipelines are parsed
with the protobuf messages of kfp; the arguments of a run are compared with the inputs of its pipeline. Answers
are the same models, serialised by the generated client.
"""

import json
import re
import ssl
import threading
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

BEGIN = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
PAGE = 2  # small, so that clients must follow page tokens
LIST = {"page_token", "page_size", "sort_by", "filter", "namespace"}
SERIALISER = kfp_server_api.ApiClient()


class RefusalError(Exception):
    """An answer other than 200, in the form of the gateway."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status, self.body = status, {"error": message, "code": code, "message": message, "details": []}


class KfpApiServer:
    """The state of the server; tests change it and look at it.

    Attributes:
        tokens: accepted bearer tokens -> namespaces that they may use.
        cookies: accepted session cookies -> the same.
        multi_user: whether identity and namespace are asked for.
        quota: sentence with which every new run is refused; '' for none.
        logs: pod -> text, on the API server; `ui_logs` the same on the user interface alone.
        login_page: answer every request with an HTML page, as a gateway does after a login has expired.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.tokens: dict[str, set[str]] = {}
        self.cookies: dict[str, set[str]] = {}
        self.multi_user, self.quota, self.login_page = False, "", False
        self.experiments: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.schedules: dict[str, dict] = {}
        self.logs: dict[str, str] = {}
        self.ui_logs: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self._clock = BEGIN
        outer = self

        class Handler(_Handler):
            state = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "KfpApiServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def now(self) -> datetime:
        self._clock += timedelta(minutes=1)
        return self._clock

    # --- what the API does ---------------------------------------------------------------------------------

    def create_experiment(self, body: dict, may_use: set[str] | None) -> kfp_server_api.V2beta1Experiment:
        checked(body, "V2beta1Experiment")
        namespace = self._allowed(body.get("namespace", ""), may_use, "create", "experiments")
        if any(self._same(body, other, namespace) for other in self.experiments.values()):
            raise RefusalError(409, 6, f"Already exist error: experiment {body['display_name']} already exists")
        identity = str(uuid.uuid4())
        own = {"experiment_id": identity, "created_at": self.now(), "namespace": namespace}
        self.experiments[identity] = {"display_name": body["display_name"], **own}
        return kfp_server_api.V2beta1Experiment(**self.experiments[identity])

    def list_experiments(
        self, query: dict, may_use: set[str] | None
    ) -> kfp_server_api.V2beta1ListExperimentsResponse:
        namespace = self._allowed(query.get("namespace", ""), may_use, "list", "experiments")
        found = [each for each in self.experiments.values() if each["namespace"] == namespace]
        found = [each for each in found if _matches(each, query.get("filter"))]
        models = [kfp_server_api.V2beta1Experiment(**each) for each in found]
        return kfp_server_api.V2beta1ListExperimentsResponse(
            experiments=models or None, total_size=len(models) or None
        )

    def create_run(self, body: dict, may_use: set[str] | None) -> kfp_server_api.V2beta1Run:
        checked(body, "V2beta1Run")
        experiment = self._experiment(body.get("experiment_id"), may_use, "runs")
        check_pipeline(body)
        if self.quota:
            raise RefusalError(500, 13, f"InternalServerError: Failed to create a workflow: {self.quota}")
        identity = str(uuid.uuid4())
        kept = {name: body[name] for name in ("display_name", "pipeline_spec", "runtime_config") if name in body}
        own = {"run_id": identity, "experiment_id": experiment["experiment_id"], "state": "PENDING"}
        self.runs[identity] = kept | own | {"created_at": self.now(), "service_account": body.get("service_account")}
        return self._run(identity)

    def list_runs(self, query: dict, may_use: set[str] | None) -> kfp_server_api.V2beta1ListRunsResponse:
        experiment = self._experiment(query.get("experiment_id"), may_use, "runs")
        own = [each for each in self.runs.values() if each["experiment_id"] == experiment["experiment_id"]]
        order = query.get("sort_by", "created_at").split()
        own.sort(key=lambda each: each[order[0]], reverse=order[-1] == "desc")
        own = own[: int(query.get("page_size", 20))]
        return kfp_server_api.V2beta1ListRunsResponse(runs=[self._run(each["run_id"]) for each in own] or None)

    def terminate(self, identity: str) -> None:
        self._run(identity)
        self.runs[identity]["state"] = "CANCELING"

    def create_schedule(self, body: dict, may_use: set[str] | None) -> kfp_server_api.V2beta1RecurringRun:
        checked(body, "V2beta1RecurringRun")
        experiment = self._experiment(body.get("experiment_id"), may_use, "jobs")
        check_pipeline(body)
        cron = body["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) != 6:
            raise RefusalError(400, 3, f"Invalid input error: Schedule cron is not a supported format: {cron}")
        if not 1 <= int(body.get("max_concurrency", "0")) <= 10:
            raise RefusalError(400, 3, "Invalid input error: The max concurrency must be between 1 and 10")
        identity = str(uuid.uuid4())
        own = {"recurring_run_id": identity, "experiment_id": experiment["experiment_id"], "created_at": self.now()}
        own["status"] = "ENABLED" if body.get("mode") == "ENABLE" else "DISABLED"
        self.schedules[identity] = body | own
        return self._schedule(identity)

    def list_schedules(
        self, query: dict, may_use: set[str] | None
    ) -> kfp_server_api.V2beta1ListRecurringRunsResponse:
        experiment = self._experiment(query.get("experiment_id"), may_use, "jobs")
        own = [each for each in self.schedules.values() if each["experiment_id"] == experiment["experiment_id"]]
        begin = int(query.get("page_token", "0"))
        page = [self._schedule(each["recurring_run_id"]) for each in own[begin : begin + PAGE]]
        following = str(begin + PAGE) if len(own) > begin + PAGE else None
        return kfp_server_api.V2beta1ListRecurringRunsResponse(recurring_runs=page or None, next_page_token=following)

    def delete_schedule(self, identity: str) -> None:
        if self.schedules.pop(identity, None) is None:
            raise RefusalError(404, 5, f"ResourceNotFoundError: Job {identity} not found")

    # --- helpers -------------------------------------------------------------------------------------------

    def _run(self, identity: str) -> kfp_server_api.V2beta1Run:
        if identity not in self.runs:
            raise RefusalError(404, 5, f"ResourceNotFoundError: Run {identity} not found")
        return kfp_server_api.V2beta1Run(**self.runs[identity])

    def _schedule(self, identity: str) -> kfp_server_api.V2beta1RecurringRun:
        return kfp_server_api.V2beta1RecurringRun(**self.schedules[identity])

    def _experiment(self, identity: str | None, may_use: set[str] | None, resource: str) -> dict:
        if identity not in self.experiments:
            raise RefusalError(404, 5, f"ResourceNotFoundError: Experiment {identity} not found")
        self._allowed(self.experiments[identity]["namespace"], may_use, "get", resource)
        return self.experiments[identity]

    def _allowed(self, namespace: str, may_use: set[str] | None, verb: str, resource: str) -> str:
        if not self.multi_user:
            return ""
        if not namespace:
            raise RefusalError(400, 3, "Invalid input error: In multi-user mode, the request must name a namespace")
        if may_use is not None and namespace not in may_use:
            reason = (
                f"User is not authorized: ResourceAttributes{{Namespace:{namespace},Verb:{verb},Resource:{resource}}}"
            )
            raise RefusalError(403, 7, f"PermissionDenied: {reason}")
        return namespace

    @staticmethod
    def _same(body: dict, other: dict, namespace: str) -> bool:
        return (body["display_name"], namespace) == (other["display_name"], other["namespace"])


def checked(value: object, kind: str, at: str = "") -> None:
    """Compare JSON with a model of the OpenAPI; an unknown field or a wrong type is refused."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise RefusalError(400, 3, f"proto: syntax error: {at} must be a list")
        for index, item in enumerate(value):
            checked(item, kind[5:-1], f"{at}[{index}]")
    elif kind.startswith("dict(") or kind == "object":
        if not isinstance(value, dict) and kind != "object":
            raise RefusalError(400, 3, f"proto: syntax error: {at} must be an object")
    elif kind in ("str", "int", "bool", "datetime"):
        if not isinstance(value, {"str": str, "int": int, "bool": bool, "datetime": str}[kind]):
            raise RefusalError(400, 3, f"proto: invalid value for {kind} field {at}: {value!r}")
    else:
        model = getattr(kfp_server_api, kind)
        if not model.openapi_types:  # an enumeration
            if value not in model.allowable_values:
                raise RefusalError(400, 3, f"proto: invalid value for enum field {at}: {value!r}")
            return
        attribute = {json_name: name for name, json_name in model.attribute_map.items()}
        for name, item in value.items():  # type: ignore[attr-defined]
            if name not in attribute:
                raise RefusalError(400, 3, f'proto: (line 1:2): unknown field "{name}"')
            checked(item, model.openapi_types[attribute[name]], f"{at}.{name}".lstrip("."))


def check_pipeline(body: dict) -> None:
    """Parse the pipeline as the server does and hold the arguments against its inputs."""
    document = body["pipeline_spec"]
    try:
        pipeline = json_format.ParseDict(document.get("pipeline_spec", document), pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(document.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise RefusalError(400, 3, f"Invalid input error: invalid v2 pipeline spec: {error}") from None
    given = body.get("runtime_config", {}).get("parameters", {})
    inputs = pipeline.root.input_definitions.parameters
    for name in inputs:
        if name not in given and not inputs[name].is_optional:
            raise RefusalError(400, 3, f"Invalid input error: parameter {name} is not optional, yet has no value")
    for name in given:
        if name not in inputs:
            raise RefusalError(400, 3, f"Invalid input error: parameter {name} is not an input of the pipeline")


def _matches(each: dict, text: str | None) -> bool:
    predicates = json.loads(text)["predicates"] if text else []
    assert all(predicate["operation"] in (1, "EQUALS") for predicate in predicates), "only EQUALS is emulated"
    return all(each[predicate["key"]] == predicate["stringValue"] for predicate in predicates)


class _Handler(BaseHTTPRequestHandler):
    state: KfpApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self.state.requests.append((method, parts.path))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if self.state.login_page:
            return self._send(200, "<html>Log in</html>", "text/html; charset=utf-8")
        try:
            answer = self._route(method, parts.path, query, body, self._identity())
        except RefusalError as error:
            return self._send(error.status, json.dumps(error.body), "application/json")
        if isinstance(answer, str):
            return self._send(200, answer, "text/plain")
        serialised = SERIALISER.sanitize_for_serialization(answer) if answer is not None else {}
        return self._send(200, json.dumps(serialised), "application/json")

    def _route(self, method: str, path: str, query: dict, body: dict, may_use: set[str] | None) -> object:
        state = self.state
        v2 = path.removeprefix("/apis/v2beta1")
        allowed = LIST | ({"experiment_id"} if v2 in ("/runs", "/recurringruns") else set())
        if method == "GET" and v2 != path and (unknown := set(query) - allowed):
            raise RefusalError(400, 3, f"unknown query parameters {sorted(unknown)}")
        if v2 == "/experiments":
            return (
                state.create_experiment(body, may_use) if method == "POST" else state.list_experiments(query, may_use)
            )
        if v2 == "/runs":
            return state.create_run(body, may_use) if method == "POST" else state.list_runs(query, may_use)
        if v2 == "/recurringruns":
            return state.create_schedule(body, may_use) if method == "POST" else state.list_schedules(query, may_use)
        if method == "GET" and (match := re.fullmatch(r"/runs/([^/:]+)", v2)):
            return state._run(match[1])
        if method == "POST" and (match := re.fullmatch(r"/runs/([^/:]+):terminate", v2)):
            return state.terminate(match[1])
        if method == "DELETE" and (match := re.fullmatch(r"/recurringruns/([^/:]+)", v2)):
            return state.delete_schedule(match[1])
        if match := re.fullmatch(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", path):
            return self._log(state.logs, match[2], 500)
        if path == "/k8s/pod/logs":
            return self._log(state.ui_logs, query["podname"], 404)
        raise RefusalError(404, 5, "Not Found")

    def _log(self, logs: dict[str, str], pod: str, status: int) -> str:
        if pod not in logs:
            raise RefusalError(status, 5, f'pods "{pod}" not found')
        return logs[pod]

    def _identity(self) -> set[str] | None:
        if not self.state.tokens and not self.state.cookies:
            return None
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and token in self.state.tokens:
            return self.state.tokens[token]
        if self.headers.get("Cookie") in self.state.cookies:
            return self.state.cookies[self.headers["Cookie"]]
        raise RefusalError(401, 16, "Unauthenticated: Request header error: there is no user identity header.")

    def _send(self, status: int, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
