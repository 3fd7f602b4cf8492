"""What the runs tell of one another: which stage run made what another read, back to the cohorts.

Every stage run carries the hash of each input and output. So the run that made a stage's input is found by
content, whoever started it and whether or not a cache stood between: lineage needs no bookkeeping of its own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.registry.runs import PARENT_TAG, STAGE_TAG, open_client
from scintiflow.registry.surroundings import Surroundings, surroundings

PREFIX = "scintiflow."
COHORT_TAG = "cohort."  # + name: which version of the cohort was read
PATIENTS = "lineage/patients.json"
RECIPE = "recipe.json"
PAGE = 1000


@dataclass(frozen=True)
class StageRecord:
    """One finished run of one stage.

    Attributes:
        params: the stage's section, flat, as MLflow keeps it (text, long values cut).
        inputs, outputs: name of `stages.graph` -> SHA-256 of the content.
        cohorts: name -> version, for stages that read cohorts: as the stage saw it, else as its pipeline run says.
        started: milliseconds since 1970. seconds: from the opening to the end of the run.
    """

    stage: str
    run_id: str
    parent_run_id: str
    experiment_id: str
    started: int
    seconds: float
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str] = field(repr=False)

    @property
    def inputs(self) -> dict[str, str]:
        return _hashes(self.tags, "input.")

    @property
    def outputs(self) -> dict[str, str]:
        return _hashes(self.tags, "output.")

    @property
    def cohorts(self) -> dict[str, str]:
        return tagged(self.tags, COHORT_TAG)

    @property
    def code_version(self) -> str:
        return self.tags.get("code_version", "")

    @property
    def device(self) -> str:
        return self.tags.get("device", "unknown")

    @property
    def output_bytes(self) -> int | None:
        sizes = [int(value) for name, value in self.tags.items() if name.endswith(".bytes")]
        return sum(sizes) if sizes else None


@dataclass(frozen=True)
class ModelRecord:
    """One registered version and the run that registered it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    tags: dict[str, str]

    @property
    def title(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} version {self.version}{aliases}"


class History:
    """Every finished stage run and every model version of a tracking server, read once."""

    def __init__(self, records: list[StageRecord], models: list[ModelRecord]) -> None:
        self.records = sorted(records, key=lambda record: record.started, reverse=True)
        self.models = models

    @classmethod
    def read(cls, where: Surroundings | None = None) -> "History":
        """Of the tracking server in the environment, or of another one; empty where there is none yet.

        Raises ScintiflowError if MLflow does not answer.
        """
        where = where or surroundings()
        if not registry_exists(where):
            return cls([], [])
        client = open_client(where)
        try:
            experiments = [found.experiment_id for found in client.search_experiments()]
            runs = list(_all_runs(client, experiments))
            pipelines = {run.info.run_id: _own(run) for run in runs if STAGE_TAG not in run.data.tags}
            stages = [run for run in runs if STAGE_TAG in run.data.tags and run.info.end_time]
            return cls([_record(run, pipelines) for run in stages], _all_models(client))
        except MlflowException as error:
            raise ScintiflowError(
                f"MLflow does not answer ({error.error_code})",
                where=where.tracking_uri.split("@")[-1],
                remedy="Check MLFLOW_TRACKING_URI and that the server runs",
            ) from None

    @cached_property
    def _makers(self) -> dict[tuple[str, str], list[StageRecord]]:
        makers: dict[tuple[str, str], list[StageRecord]] = {}
        for record in self.records:
            for output in record.outputs.items():
                makers.setdefault(output, []).append(record)
        return makers

    def run(self, run_id: str) -> StageRecord | None:
        return next((record for record in self.records if record.run_id == run_id), None)

    def of_pipeline(self, parent_run_id: str) -> dict[str, StageRecord]:
        """The stage runs of one pipeline run, by stage; the newest where a stage ran twice."""
        return {r.stage: r for r in reversed(self.records) if r.parent_run_id == parent_run_id}

    def maker(self, name: str, sha256: str, reader: StageRecord) -> StageRecord | None:
        """The run that made this content: of the reader's own pipeline run, else the last before the reader."""
        found = [record for record in self._makers.get((name, sha256), []) if record.started <= reader.started]
        same = [record for record in found if record.parent_run_id == reader.parent_run_id]
        return next(iter([*same, *found]), None)

    def upstream(self, record: StageRecord) -> dict[str, StageRecord]:
        """The run itself and every run it depends on, by stage."""
        chain = {record.stage: record}
        for name, sha256 in record.inputs.items():
            maker = self.maker(name, sha256, record)
            if maker is not None:
                chain |= {stage: run for stage, run in self.upstream(maker).items() if stage not in chain}
        return chain

    def lineage(self, model: ModelRecord) -> dict[str, StageRecord]:
        """The stage runs that a model version came from, by stage; {} if its run is gone."""
        record = self.run(model.run_id)
        return {} if record is None else self.upstream(record)

    def of_run(self, prefix: str) -> dict[str, StageRecord]:
        """A stage run and what it came from; for a pipeline run all its stages and what they came from."""
        own = [record for record in self.records if record.run_id.startswith(prefix)]
        own = own or [record for record in self.records if record.parent_run_id.startswith(prefix)]
        chain: dict[str, StageRecord] = {}
        for record in sorted(own, key=lambda record: record.started, reverse=True):
            chain = self.upstream(record) | chain | {record.stage: record}
        return chain

    def model(self, name: str, alias: str) -> ModelRecord | None:
        """The version under an alias, or with that number."""
        named = [model for model in self.models if model.name == name]
        return next((model for model in named if alias in (*model.aliases, model.version)), None)


def registry_exists(where: Surroundings | None = None) -> bool:
    """Whether there is anything to ask: asking a local database that is not there would create it."""
    uri = (where or surroundings()).tracking_uri
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).is_file()


def patients_of(ingest: StageRecord) -> dict:
    """What the ingest run recorded of its data set, pseudonyms only; {} if it recorded nothing.

    Keys: manifest_sha256, and patients: pseudonym -> cohort, split and studies with their hashes.
    """
    return read_artifact(ingest.run_id, PATIENTS)


def recipe_of(parent_run_id: str) -> dict:
    """The whole recipe of a pipeline run; {} if it recorded none."""
    return read_artifact(parent_run_id, RECIPE)


def read_artifact(run_id: str, path: str) -> dict:
    """The content of a JSON artifact; {} if the run has none."""
    client = open_client()
    try:
        if path not in {found.path for found in client.list_artifacts(run_id, str(Path(path).parent).strip("."))}:
            return {}
        return json.loads(Path(client.download_artifacts(run_id, path)).read_text(encoding="utf-8"))
    except MlflowException:
        return {}


def download(run_id: str, path: str, folder: Path) -> Path | None:
    """One artifact of a run, copied into `folder`; None if the run has none of that name."""
    try:
        return Path(open_client().download_artifacts(run_id, path, str(folder)))
    except (MlflowException, OSError):
        return None


def tagged(tags: dict[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}


def _hashes(tags: dict[str, str], prefix: str) -> dict[str, str]:
    found = tagged(tags, prefix)
    return {name.removesuffix(".sha256"): value for name, value in found.items() if name.endswith(".sha256")}


def _own(run: Run) -> dict[str, str]:
    return tagged(run.data.tags, PREFIX)


def _record(run: Run, pipelines: dict[str, dict[str, str]]) -> StageRecord:
    tags, params = run.data.tags, run.data.params
    parent = tags.get(PARENT_TAG, "")
    # A pod sees a fetched folder and no .dvc file; its pipeline run knows what was pinned.
    pinned = tagged(pipelines.get(parent, {}), COHORT_TAG)
    cohorts = {f"{COHORT_TAG}{name}": pinned[name] for name in pinned if f"'{name}'" in params.get("cohorts", "")}
    return StageRecord(
        stage=tags[STAGE_TAG],
        run_id=run.info.run_id,
        parent_run_id=parent,
        experiment_id=run.info.experiment_id,
        started=run.info.start_time,
        seconds=(run.info.end_time - run.info.start_time) / 1000,
        params=dict(params),
        metrics=dict(run.data.metrics),
        tags={"git_sha": tags.get("mlflow.source.git.commit", "")} | cohorts | _own(run),
    )


def _all_runs(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    token = None
    while True:
        found = client.search_runs(
            experiments, filter_string="attributes.status = 'FINISHED'", max_results=PAGE, page_token=token
        )
        yield from found
        token = found.token
        if not token:
            return


def _all_models(client: MlflowClient) -> list[ModelRecord]:
    models = []
    for registered in client.search_registered_models():
        # a search leaves aliases out of versions; the model itself knows them
        aliases = {**client.get_registered_model(registered.name).aliases}
        for found in client.search_model_versions(f"name='{registered.name}'"):
            models.append(_model(found, tuple(sorted(a for a, v in aliases.items() if str(v) == str(found.version)))))
    return models


def _model(found: ModelVersion, aliases: tuple[str, ...]) -> ModelRecord:
    return ModelRecord(found.name, str(found.version), aliases, found.run_id or "", dict(found.tags))
