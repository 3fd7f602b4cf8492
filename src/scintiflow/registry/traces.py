"""Forward lineage: which data sets and model versions a cohort or a patient went into."""

from dataclasses import dataclass

from scintiflow.registry.lineage import History, ModelRecord, StageRecord, patients_of


@dataclass(frozen=True)
class Trace:
    """One data set in which something was found.

    Attributes:
        ingest: the newest run that made this data set.
        dataset_sha256: of the data set's content.
        split: of the patient: train, validation or test; '' where a whole cohort was asked for.
        studies: of the patient, as `dataset.manifest.patient_record` lists them.
        models: versions that came from this data set, newest first.
    """

    ingest: StageRecord
    dataset_sha256: str
    split: str
    studies: tuple[dict[str, str], ...]
    models: tuple[ModelRecord, ...]


@dataclass(frozen=True)
class PatientTraces:
    """Every trace of a patient; `unrecorded` are data sets of older runs that kept no record of their patients."""

    traces: tuple[Trace, ...]
    unrecorded: tuple[Trace, ...]

    @property
    def models(self) -> tuple[ModelRecord, ...]:
        return tuple({(m.name, m.version): m for trace in self.traces for m in trace.models}.values())

    @property
    def must_be_retrained(self) -> tuple[ModelRecord, ...]:
        """Versions in use (under an alias) that learnt from the patient's scans, or were chosen or judged by them."""
        return tuple(model for model in self.models if model.aliases)


def traces_of_patient(history: History, pseudonym: str) -> PatientTraces:
    """Data sets that hold the patient, and the model versions made of them."""
    found, unrecorded = [], []
    for sha256, ingest, models in _datasets(history):
        record = patients_of(ingest)
        if not record:
            unrecorded.append(Trace(ingest, sha256, "", (), models))
        elif pseudonym in record["patients"]:
            patient = record["patients"][pseudonym]
            found.append(Trace(ingest, sha256, patient["split"], tuple(patient["studies"]), models))
    return PatientTraces(tuple(found), tuple(unrecorded))


def traces_of_cohort(history: History, name: str, version: str = "") -> tuple[Trace, ...]:
    """Data sets that were made of a cohort, at one version or at any, and the model versions made of them."""
    return tuple(
        Trace(ingest, sha256, "", (), models)
        for sha256, ingest, models in _datasets(history)
        if name in ingest.cohorts and ingest.cohorts[name].startswith(version)
    )


def _datasets(history: History) -> list[tuple[str, StageRecord, tuple[ModelRecord, ...]]]:
    """(hash, newest ingest run, model versions) of every data set there ever was, newest first."""
    ingests: dict[str, StageRecord] = {}
    for record in history.records:
        if record.stage == "ingest" and "dataset" in record.outputs:
            ingests.setdefault(record.outputs["dataset"], record)
    models: dict[str, list[ModelRecord]] = {}
    for model in sorted(history.models, key=lambda model: int(model.version), reverse=True):
        ingest = history.lineage(model).get("ingest")
        if ingest is not None:
            models.setdefault(ingest.outputs.get("dataset", ""), []).append(model)
    return [(sha256, ingest, tuple(models.get(sha256, ()))) for sha256, ingest in ingests.items()]
