"""The section `placement` of params.yaml: on which machine each step of the pipeline runs, and with what.

It says nothing about what a step computes, so a change here re-runs nothing. `every_step` is what all steps
get; the section of a step names only what differs. Quantities, taints and labels are written as Kubernetes
writes them.
"""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, model_validator

from scintiflow.params.section import Count, Section

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity
QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?"
SHARED = ("ingest", "distil_priors")  # steps whose patients several pods may share
POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
LABEL_KEY = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"

Quantity = Annotated[str, Field(pattern=f"^{QUANTITY}$")]
NodeLabel = Annotated[str, Field(pattern=f"^{LABEL_KEY}={LABEL_VALUE}$")]
Toleration = Annotated[str, Field(pattern=f"^{LABEL_KEY}(={LABEL_VALUE})?:(NoSchedule|PreferNoSchedule|NoExecute)$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
# no user or password in it: the address is recorded with the run
Repository = Annotated[str, Field(pattern=r"^((https|file)://[^\s@]+|(ssh://)?[a-z]+@[^\s@]+)?$")]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\s:]+$")]


class Setting(Section):
    """An environment variable from a ConfigMap."""

    env: EnvironmentName
    config_map: ObjectName
    key: str


class Secret(Section):
    """An environment variable from a Secret."""

    env: EnvironmentName
    secret: ObjectName
    key: str


class SecretFiles(Section):
    """A Secret whose keys appear as files under `path`."""

    secret: ObjectName
    path: AbsolutePath


class Volume(Section):
    """A PersistentVolumeClaim mounted at `path`."""

    claim: ObjectName
    path: AbsolutePath


class StepPlacement(Section):
    """Where one step runs, and as which user of the image (numeric, not root).

    `cpu` and `memory` are request and limit alike; times are in the units of their names.
    """

    user: Count
    cpu: Quantity
    memory: Quantity
    shared_memory: Annotated[str, Field(pattern=f"^({QUANTITY})?$")]
    gpus: Annotated[int, Field(ge=0)]
    gpu_type: Annotated[str, Field(pattern=f"^{LABEL_KEY}$")]
    node_labels: list[NodeLabel]
    tolerations: list[Toleration]
    queue: Annotated[str, Field(pattern=f"^{LABEL_VALUE}$")]
    priority_class: Annotated[str, Field(pattern=f"^{LABEL_VALUE}$")]
    timeout_minutes: Count
    retries: Annotated[int, Field(ge=0)]
    retry_after_seconds: Annotated[int, Field(ge=0)]
    retry_factor: Annotated[float, Field(ge=1)]
    retry_at_most_seconds: Annotated[int, Field(ge=0)]
    settings: list[Setting]
    secrets: list[Secret]
    secret_files: list[SecretFiles]
    volumes: list[Volume]
    shards: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _shared_memory_is_part_of_memory(self) -> "StepPlacement":
        if self.shared_memory and amount(self.shared_memory) >= amount(self.memory):
            raise ValueError(f"shared_memory counts against memory and must be smaller than {self.memory}")
        return self

    @model_validator(mode="after")
    def _nothing_is_given_twice(self) -> "StepPlacement":
        names = [item.env for item in self.settings] + [item.env for item in self.secrets]
        paths = [item.path for item in self.volumes] + [item.path for item in self.secret_files]
        for given in (names, paths):
            twice = sorted({item for item in given if given.count(item) > 1})
            if twice:
                raise ValueError(f"'{twice[0]}' is given twice")
        return self


class PlacementParams(Section):
    """Where the steps run, and where they see the sources that no step makes."""

    cohorts: AbsolutePath
    truth: AbsolutePath
    cohorts_from: Repository = ""
    every_step: StepPlacement
    ingest: StepPlacement
    adapt_sam: StepPlacement
    distil_priors: StepPlacement
    train_cascade: StepPlacement
    fetch_champion: StepPlacement
    evaluate: StepPlacement
    register_: Annotated[StepPlacement, Field(alias="register")]
    restore_real: StepPlacement

    @model_validator(mode="before")
    @classmethod
    def _steps_start_from_every_step(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("every_step"), dict):
            return values
        steps = {field.alias or name for name, field in cls.model_fields.items() if field.annotation is StepPlacement}
        changes = {name: values.get(name, {}) for name in steps - {"every_step"}}
        merged = {name: values["every_step"] | own for name, own in changes.items() if isinstance(own, dict)}
        return values | merged

    @model_validator(mode="after")
    def _few_steps_are_sharded(self) -> "PlacementParams":
        for name in type(self).model_fields:
            step = getattr(self, name)
            if isinstance(step, StepPlacement) and step.shards > 1 and name not in SHARED:
                raise ValueError(f"{name}: only {' and '.join(SHARED)} can be done by several pods (shards)")
        return self

    def step(self, stage: str) -> StepPlacement:
        """The placement of a stage, by the stage's name."""
        return self.register_ if stage == "register" else getattr(self, stage)


def amount(quantity: str) -> Decimal:
    """A Kubernetes quantity as a number: '500m' is 0.5, '1Gi' is 1,073,741,824."""
    match = re.fullmatch(r"([0-9.]+)(m|[kMGT]?)(i?)", quantity)
    if match is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    if match[2] == "m":
        return Decimal(match[1]) / 1000
    return Decimal(match[1]) * Decimal(1024 if match[3] else 1000) ** POWERS[match[2]]
