"""A folder of an S3 bucket, and what S3's refusals mean. The only module that calls boto3.

Endpoint, region, CA bundle and credentials come from the environment, as DVC's own S3 client reads them:
AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_CA_BUNDLE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scintiflow.errors import ScintiflowError

SCHEME = "s3://"
LARGEST_CLOCK_OFFSET_SECONDS = 300.0  # servers refuse requests that are 15 minutes off
SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 5, 20

CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if you were given one)"
ENDPOINT = "Check AWS_ENDPOINT_URL, the network and any proxy (HTTPS_PROXY, NO_PROXY)"
AUTHORITY = "Name the file with your organisation's certificate authority in AWS_CA_BUNDLE"
REGION = "Set AWS_DEFAULT_REGION to the region of the bucket"
CLOCK = "Set the clock of this machine (NTP); S3 refuses requests that are 15 minutes off"
PERMISSION = "Ask the bucket's owner for this permission"

# Error codes of S3: what they mean, and what to do.
REFUSALS = {
    "InvalidAccessKeyId": ("the server does not know this access key", CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", CREDENTIALS),
    "InvalidToken": ("the session token is wrong", CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", CREDENTIALS),
    "NoSuchBucket": ("the bucket does not exist", "Have it made, or name another with `scintiflow remote set`"),
    "AccessDenied": ("permission denied", PERMISSION),
    "RequestTimeTooSkewed": ("this machine's clock differs too much from the server's", CLOCK),
    "AuthorizationHeaderMalformed": ("the region is wrong", REGION),
    "PermanentRedirect": ("the bucket is in another region", REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", REGION),
    "QuotaExceeded": ("the bucket is full", "Ask the bucket's owner for a larger quota"),
    "XMinioStorageFull": ("the server's disks are full", "Tell the server's administrator"),
    "SlowDown": ("the server is overloaded", "Try again later"),
    "ServiceUnavailable": ("the server is not available", "Try again later, or tell its administrator"),
}


class S3Folder:
    """Objects under `url` (s3://bucket/prefix).

    Args:
        url: of the remote.
        options: of DVC's remote, where they were given there: endpointurl, region, profile, ssl_verify, use_ssl,
            access_key_id, secret_access_key, session_token. They go before the environment.

    Every method raises ScintiflowError with what is wrong in words and the remedy.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(url)
        self.url, self.bucket, self.prefix = url, parts.netloc, parts.path.strip("/")
        self.server_clock_offset_seconds: float | None = None
        with self._in_words("connect"):
            self._client = _client(options or {})

    def write(self, name: str, content: bytes) -> None:
        with self._in_words("write"):
            self._heard(self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=content))

    def read(self, name: str) -> bytes:
        with self._in_words("read"):
            return self._heard(self._client.get_object(Bucket=self.bucket, Key=self._key(name)))["Body"].read()

    def names(self, beginning: str = "") -> list[str]:
        """Up to 1000 names that begin so."""
        with self._in_words("list"):
            found = self._heard(self._client.list_objects_v2(Bucket=self.bucket, Prefix=self._key(beginning)))
        return [entry["Key"].removeprefix(f"{self.prefix}/") for entry in found.get("Contents", [])]

    def write_in_parts(self, name: str, parts: list[bytes]) -> None:
        """A multipart upload; all parts but the last must be 5 MiB or more. Nothing is left of one that fails."""
        target = {"Bucket": self.bucket, "Key": self._key(name)}
        with self._in_words("write in parts"):
            upload = self._heard(self._client.create_multipart_upload(**target))["UploadId"]
            try:
                tags = [
                    self._client.upload_part(**target, UploadId=upload, PartNumber=number, Body=part)["ETag"]
                    for number, part in enumerate(parts, start=1)
                ]
                done = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
                self._client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": done})
            except BaseException:
                self._client.abort_multipart_upload(**target, UploadId=upload)
                raise

    def delete(self, name: str) -> None:
        with self._in_words("delete"):
            self._heard(self._client.delete_object(Bucket=self.bucket, Key=self._key(name)))

    @property
    def clock_sentence(self) -> str:
        """How far this machine's clock is from the server's, as far as is known; '' if it does not matter."""
        seconds = self.server_clock_offset_seconds or 0.0
        if abs(seconds) <= LARGEST_CLOCK_OFFSET_SECONDS:
            return ""
        direction = "behind" if seconds > 0 else "ahead of"
        return f"this machine's clock is {abs(seconds) / 60:.0f} minutes {direction} the server's"

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _heard(self, response: dict) -> dict:
        """The response; its Date says how far this machine's clock is off."""
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self.server_clock_offset_seconds = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
        return response

    @contextmanager
    def _in_words(self, doing: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            self._heard(error.response)
            reason, remedy = _refusal(error)
            if remedy == CLOCK:
                reason = self.clock_sentence or reason
        except (BotoCoreError, OSError, ValueError) as error:
            reason, remedy = _trouble(error)
        else:
            return
        raise ScintiflowError(f"cannot {doing}: {reason}", where=self.url, remedy=remedy)


def _client(options: Mapping[str, Any]) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import PartialCredentialsError

    if bool(options.get("access_key_id")) != bool(options.get("secret_access_key")):
        raise PartialCredentialsError(provider="dvc", cred_var="access_key_id, secret_access_key")
    session = boto3.Session(
        profile_name=options.get("profile"),
        region_name=options.get("region"),
        aws_access_key_id=options.get("access_key_id"),
        aws_secret_access_key=options.get("secret_access_key"),
        aws_session_token=options.get("session_token"),
    )
    patience = Config(
        connect_timeout=SECONDS_TO_CONNECT,
        read_timeout=SECONDS_TO_ANSWER,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    return session.client(
        "s3",
        endpoint_url=options.get("endpointurl"),
        use_ssl=options.get("use_ssl", True),
        verify=options.get("ssl_verify"),
        config=patience,
    )


def _refusal(error: Any) -> tuple[str, str]:
    """The server answered, and the answer is no."""
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    if code in REFUSALS:
        return REFUSALS[code]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "?")
    return f"the server says {code or status} ({said.get('Message') or 'nothing more'})", "Ask its administrator"


def _trouble(error: Exception) -> tuple[str, str]:
    """No answer, or no question could be asked."""
    from botocore import exceptions as boto

    host = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "").netloc
    server = host or "the server"
    bundle = os.environ.get("AWS_CA_BUNDLE", "")
    if bundle and not Path(bundle).exists():
        return f"AWS_CA_BUNDLE names {bundle}, which is not there", AUTHORITY
    for kinds, reason, remedy in (
        ((boto.NoCredentialsError,), "there are no credentials", CREDENTIALS),
        ((boto.PartialCredentialsError,), "the credentials are incomplete", CREDENTIALS),
        ((boto.ProfileNotFound,), str(error), "Name a profile of your AWS configuration, or unset AWS_PROFILE"),
        ((boto.SSLError,), f"the certificate of {server} is not trusted, or it does not speak TLS", AUTHORITY),
        ((boto.ProxyConnectionError,), "the proxy cannot be reached", ENDPOINT),
        ((boto.ConnectTimeoutError,), f"{server} does not answer within {SECONDS_TO_CONNECT} s", ENDPOINT),
        ((boto.EndpointConnectionError,), f"{server} cannot be reached", ENDPOINT),
        ((boto.ReadTimeoutError, boto.ConnectionClosedError), f"{server} broke the connection off", ENDPOINT),
        ((boto.NoRegionError, boto.InvalidRegionError), "the region is missing or wrong", REGION),
    ):
        if isinstance(error, kinds):
            return reason, remedy
    return f"{type(error).__name__}: {error}", "Check the address with `scintiflow remote set`, and AWS_ENDPOINT_URL"
