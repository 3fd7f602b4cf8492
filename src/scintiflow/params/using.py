"""Sections about a model in use: the DICOM node, and what is watched of restored scans."""

from typing import Annotated

from pydantic import Field, model_validator

from scintiflow.params.section import Count, Positive, Section, Share

AeTitle = Annotated[str, Field(pattern=r"^([!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?)?$")]  # PS3.5 6.2: no backslash
Port = Annotated[int, Field(ge=0, le=65535)]


class PeerParams(Section):
    """Who gets the restored scans."""

    ae_title: AeTitle = ""
    host: str = ""
    port: Port = 104


class TlsParams(Section):
    """Paths of PEM files; all three or none."""

    certificate: str = ""
    key: str = ""
    authorities: str = ""

    @model_validator(mode="after")
    def _all_or_none(self) -> "TlsParams":
        if len({bool(path) for path in (self.certificate, self.key, self.authorities)}) > 1:
            raise ValueError("certificate, key and authorities go together: give all three or none")
        return self

    @property
    def wanted(self) -> bool:
        return bool(self.certificate)


class NodeParams(Section):
    """`scintiflow node`: a DICOM node that restores what cameras send to it. params.yaml explains every key."""

    ae_title: Annotated[AeTitle, Field(min_length=1)] = "SCINTIFLOW"
    bind: str = "127.0.0.1"
    port: Port = 11112
    calling_ae_titles: list[Annotated[AeTitle, Field(min_length=1)]] = Field(default_factory=list)
    peer: PeerParams = PeerParams()
    tls: TlsParams = TlsParams()
    spool: str = ".scintiflow/node"
    smallest_free_mb: Count = 1000
    largest_tries: Count = 5
    timeout_seconds: Positive = 30.0
    retry_after_seconds: Positive = 5.0
    retry_factor: Annotated[float, Field(ge=1)] = 2.0
    retry_at_most_seconds: Positive = 300.0
    health_bind: str = "127.0.0.1"
    health_port: Port = 9104


class WatchParams(Section):
    """What is kept of every restored scan, and when the children of today differ from those of training."""

    folder: str = ""
    to_mlflow: bool = False
    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    smallest_scans: Annotated[int, Field(ge=5)] = 20
    smallest_effect: Share = 0.3
