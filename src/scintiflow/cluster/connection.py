"""Requests to the Kubeflow Pipelines API, and what its refusals mean to the person who asked.

The generated client (kfp_server_api) is used without `kfp.Client`, which reads and writes a settings file in
the home directory, prints, and tries an unreachable host for half a minute.
"""

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import kfp_server_api
import urllib3

from scintiflow.cluster.endpoint import CA, COOKIE, TOKEN, Endpoint
from scintiflow.errors import ScintiflowError

Answer = TypeVar("Answer")

SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 10, 120
LONGEST_MESSAGE = 400


class MissingError(ScintiflowError):
    """The cluster does not know what was asked for, or knows it no more."""


class Connection:
    """The services of one endpoint; every request goes through `call`."""

    def __init__(self, endpoint: Endpoint) -> None:
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # the last failure is told in full
        self.endpoint = endpoint
        self._client = kfp_server_api.ApiClient(_configuration(endpoint), cookie=endpoint.cookie or None)
        self.experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self.runs = kfp_server_api.RunServiceApi(self._client)
        self.schedules = kfp_server_api.RecurringRunServiceApi(self._client)

    def call(self, method: Callable[..., Answer], *arguments: Any, missing: str = "", **options: Any) -> Answer:
        """The answer of one request; `missing` is the sentence for 'not found'. Raises ScintiflowError."""
        timeout = (SECONDS_TO_CONNECT, SECONDS_TO_ANSWER)
        options = {name: value for name, value in options.items() if value not in ("", None)}
        try:
            answer = method(*arguments, _request_timeout=timeout, **options)
        except kfp_server_api.ApiException as error:
            raise refusal(error, self.endpoint, missing) from None
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(error, self.endpoint) from None
        except (ValueError, TypeError) as error:
            raise self._no_api(f"an answer that cannot be read: {error}") from None
        kind = self._client.last_response.getheader("Content-Type") or ""
        if not kind.startswith("application/json"):
            raise self._no_api(f"a page ({kind or 'of no type'}), as it does when a login has expired")
        return answer

    def text(self, path: str, **query: str) -> str | None:
        """A plain text from under the host; None if there is nothing at that address."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["Bearer"])
        if self.endpoint.cookie:
            headers["Cookie"] = self.endpoint.cookie
        try:
            answer = self._client.rest_client.GET(
                self.endpoint.host + path,
                headers=headers,
                query_params=list(query.items()),
                _request_timeout=(SECONDS_TO_CONNECT, SECONDS_TO_ANSWER),
            )
        except kfp_server_api.ApiException as error:
            if error.status in (404, 500):  # the API answers 500 for a pod that is gone
                return None
            raise refusal(error, self.endpoint) from None
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(error, self.endpoint) from None
        if (answer.getheader("Content-Type") or "").startswith("text/html"):
            return None
        return answer.data if isinstance(answer.data, str) else answer.data.decode("utf-8", "replace")

    def _no_api(self, what: str) -> ScintiflowError:
        return ScintiflowError(
            f"answers with {what}",
            where=self.endpoint.host,
            remedy=f"Check the URL (https://HOST/pipeline behind a gateway) and renew {_identity(self.endpoint)}",
        )


def refusal(error: kfp_server_api.ApiException, endpoint: Endpoint, missing: str = "") -> ScintiflowError:
    """What an HTTP error of the API means, and what to do about it."""
    said = _message(error)
    where = endpoint.host
    space = f"namespace '{endpoint.namespace}'" if endpoint.namespace else "the shared namespace"
    if error.status == 0:
        remedy = f"Give its certificate authority with --ca or {CA}"
        return ScintiflowError("its certificate is not trusted", where=where, remedy=remedy)
    if "exceeded quota" in said:
        remedy = f"Wait for other runs, cancel one, or ask for a larger ResourceQuota in {space}"
        return ScintiflowError(f"the quota is used up: {said}", where=where, remedy=remedy)
    if error.status == 401:
        remedy = f"Renew {_identity(endpoint)}"
        return ScintiflowError(
            "does not accept your identity; it is missing or has expired", where=where, remedy=remedy
        )
    if error.status == 403:
        remedy = f"Ask for the role kubeflow-edit in {space}, or name another with --namespace"
        return ScintiflowError(f"you may not do this: {said}", where=where, remedy=remedy)
    if error.status == 404:
        remedy = "`scintiflow pipeline status` without a run shows the newest; check --host and --namespace"
        return MissingError(missing or f"there is no such thing: {said}", where=where, remedy=remedy)
    if error.status == 429:
        return ScintiflowError("too many requests", where=where, remedy="Wait a minute and try again")
    if error.status == 400:
        return ScintiflowError(f"refused the request: {said}", where=where, remedy="Mend what it names")
    return ScintiflowError(
        f"failed with {error.status}: {said}",
        where=where,
        remedy="Try again; if it stays, look at the log of the deployment ml-pipeline",
    )


def _configuration(endpoint: Endpoint) -> kfp_server_api.Configuration:
    configuration = kfp_server_api.Configuration(host=endpoint.host)
    configuration.retries = urllib3.Retry(total=2, redirect=3, backoff_factor=0.2)
    if endpoint.ca:
        configuration.ssl_ca_cert = str(endpoint.ca)
    if endpoint.token:
        _identify(configuration, endpoint.token)
    elif endpoint.token_file:
        path = endpoint.token_file
        configuration.api_key["authorization"] = "read before each request"
        configuration.refresh_api_key_hook = lambda own: _identify(own, path.read_text(encoding="utf-8").strip())
    return configuration


def _identify(configuration: kfp_server_api.Configuration, token: str) -> None:
    configuration.api_key["authorization"] = token
    configuration.api_key_prefix["authorization"] = "Bearer"


def _identity(endpoint: Endpoint) -> str:
    if endpoint.token_file:
        return f"the token in {endpoint.token_file}"
    if endpoint.cookie:
        return f"the cookie ({COOKIE} or --cookie-file)"
    return f"the token ({TOKEN} or --token-file)"


def _unreachable(error: urllib3.exceptions.HTTPError, endpoint: Endpoint) -> ScintiflowError:
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.SSLError):
        return refusal(kfp_server_api.ApiException(status=0), endpoint)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        reason = "no machine of that name is known"
    elif isinstance(cause, urllib3.exceptions.TimeoutError) and not isinstance(
        cause, urllib3.exceptions.NewConnectionError
    ):
        reason = "does not answer in time"
    else:
        reason = "cannot be reached"
    remedy = "Check --host, the network, and `kubectl port-forward` if the host is this machine"
    return ScintiflowError(reason, where=endpoint.host, remedy=remedy)


def _message(error: kfp_server_api.ApiException) -> str:
    """The API's own sentence, without the stack that it puts into `details`."""
    body = error.body or ""
    try:
        content = json.loads(body)
    except ValueError:
        content = {}
    said = content.get("message") or content.get("error") if isinstance(content, dict) else ""
    said = " ".join(str(said or error.reason or "no reason given").split())
    return said if len(said) <= LONGEST_MESSAGE else said[: LONGEST_MESSAGE - 3] + "..."
