"""Where the Kubeflow Pipelines API is and who asks: host, identity, certificate, namespace.

Secrets come from the environment or from files, never from the command line, where other users of the
machine could read them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scintiflow.errors import ScintiflowError

HOST = "KF_PIPELINES_ENDPOINT"  # the names that Kubeflow's own client reads
UI_HOST = "KF_PIPELINES_UI_ENDPOINT"
POD_TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"
TOKEN = "SCINTIFLOW_KFP_TOKEN"
COOKIE = "SCINTIFLOW_KFP_COOKIE"
CA = "SCINTIFLOW_KFP_CA"
NAMESPACE = "SCINTIFLOW_KFP_NAMESPACE"

IN_CLUSTER_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
DEFAULT_POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"


@dataclass(frozen=True)
class Endpoint:
    """A Kubeflow Pipelines API and an identity there.

    Attributes:
        host: URL of the API, without a slash at its end.
        ui: URL under which a browser shows runs.
        token: bearer token; '' if `token_file` or `cookie` identifies, or nothing does.
        token_file: file with a bearer token, read before each request because a cluster renews it.
        cookie: session cookie of a login page, as `name=value`.
        ca: certificate authority of the host, PEM; None for the machine's own.
        namespace: Kubeflow profile; '' where Kubeflow Pipelines serves a single user.
    """

    host: str
    ui: str
    token: str = ""
    token_file: Path | None = None
    cookie: str = ""
    ca: Path | None = None
    namespace: str = ""

    def run_url(self, run_id: str) -> str:
        return f"{self.ui}/#/runs/details/{run_id}"


def find_endpoint(
    host: str = "",
    token_file: Path | None = None,
    cookie_file: Path | None = None,
    ca: Path | None = None,
    namespace: str = "",
) -> Endpoint:
    """The endpoint from options, then from the environment, then from the pod this runs in.

    Raises ScintiflowError if no host is known, a file is missing or empty, or a secret would travel unencrypted.
    """
    in_cluster = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    host = _checked_host(host or os.environ.get(HOST, "") or (IN_CLUSTER_HOST if in_cluster else ""))
    token = "" if token_file or cookie_file else os.environ.get(TOKEN, "").strip()
    cookie = _secret(cookie_file) if cookie_file else ("" if token_file else os.environ.get(COOKIE, "").strip())
    if token_file:
        _secret(token_file)
    elif not token and not cookie:
        pod_token = Path(os.environ.get(POD_TOKEN) or DEFAULT_POD_TOKEN)
        token_file = pod_token if pod_token.is_file() else None
    if (token or token_file or cookie) and not _is_private(host):
        raise ScintiflowError(
            "the token or cookie would travel unencrypted", where=host, remedy="Use the https:// address"
        )
    ca = ca or (Path(os.environ[CA]) if os.environ.get(CA) else None)
    if ca and not ca.is_file():
        raise ScintiflowError(
            "no such file", where=ca, remedy="Give the PEM file of the host's certificate authority"
        )
    return Endpoint(
        host=host,
        ui=os.environ.get(UI_HOST, host).rstrip("/"),
        token=token,
        token_file=token_file,
        cookie=cookie,
        ca=ca,
        namespace=namespace or os.environ.get(NAMESPACE, ""),
    )


def _checked_host(host: str) -> str:
    parts = urlsplit(host)
    if not host:
        raise ScintiflowError(
            "no Kubeflow Pipelines host is known", where="--host", remedy=f"Give --host, or set {HOST}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ScintiflowError(f"'{host}' is no URL", where="--host", remedy="Write it as https://HOST/pipeline")
    if parts.username or parts.password:
        raise ScintiflowError(
            "the URL carries a password", where="--host", remedy=f"Leave it out and give a token in {TOKEN}"
        )
    return host.rstrip("/")


def _is_private(host: str) -> bool:
    """Encrypted, or inside this machine or the cluster, where the mesh encrypts."""
    parts = urlsplit(host)
    name = parts.hostname or ""
    inside = name in ("localhost", "127.0.0.1", "::1") or "." not in name
    return parts.scheme == "https" or inside or name.endswith((".svc", ".svc.cluster.local"))


def _secret(path: Path) -> str:
    if not path.is_file():
        raise ScintiflowError("no such file", where=path, remedy="Name the file that holds the token or cookie")
    content = path.read_text(encoding="utf-8").strip()
    if not content:
        raise ScintiflowError("is empty", where=path, remedy="Put the token or cookie into it")
    return content
