"""Where something comes from, or where it went, as a graph of boxes and arrows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scintiflow.cohorts.versions import cohort_versions
from scintiflow.errors import ScintiflowError
from scintiflow.registry.lineage import PREFIX, History, ModelRecord, StageRecord, patients_of, tagged
from scintiflow.registry.traces import Trace, traces_of_cohort, traces_of_patient
from scintiflow.stages.graph import BY_NAME, STAGES, edges

PATIENT = re.compile(r"P-[0-9a-f]{16}")
RUN = re.compile(r"[0-9a-f]{8,32}")
SHORT = 12


@dataclass(frozen=True)
class Node:
    """A box. `kind` is model, stage, cohort, dataset or patient; `facts` are (name, value) pairs."""

    key: str
    kind: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass
class LineageGraph:
    """Boxes, and arrows in the direction in which data flow.

    Attributes:
        root: key of what was asked for.
        backward: whether the root is where the data end (a model) or where they begin (a patient, a cohort).
        notes: sentences that no box can hold.
        params: flat parameters of each stage. files: a row for each study, of the data set behind a model.
    """

    title: str
    root: str
    backward: bool
    nodes: dict[str, Node] = field(default_factory=dict)
    arrows: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    params: dict[str, dict[str, str]] = field(default_factory=dict)
    files: list[dict[str, str]] = field(default_factory=list)

    def add(self, node: Node, after: Iterable[str] = ()) -> str:
        self.nodes[node.key] = node
        self.arrows += [arrow for key in after if (arrow := (key, node.key)) not in self.arrows]
        return node.key


def lineage_of(target: str, history: History, project: Path) -> LineageGraph:
    """The lineage of MODEL@ALIAS, a run, a cohort or a patient's pseudonym.

    Raises ScintiflowError if `target` is none of them.
    """
    if PATIENT.fullmatch(target):
        return _of_patient(target, history)
    if "@" in target:
        name, _, alias = target.partition("@")
        model = history.model(name, alias)
        if model is None:
            known = ", ".join(sorted(f"{m.name}@{alias}" for m in history.models for alias in m.aliases))
            raise ScintiflowError(
                "the registry has no such model", where=target, remedy=f"Models in use: {known or 'none'}"
            )
        return _of_model(model, history)
    if RUN.fullmatch(target):
        chain = history.of_run(target)
        if chain:
            return _of_run(target, chain, history)
    versions = {found.name: f"dvc:{found.md5}" for found in cohort_versions(project).values()}
    if target in versions or any(target in record.cohorts for record in history.records):
        return _of_cohort(target, versions.get(target, ""), history)
    raise ScintiflowError(
        "is no run, cohort or patient that this project or its registry knows",
        where=target,
        remedy="Give MODEL@ALIAS, a run's id, a cohort's name, or a pseudonym (P- and 16 digits)",
    )


def _of_model(model: ModelRecord, history: History) -> LineageGraph:
    graph = LineageGraph(title=model.title, root=_model_key(model), backward=True)
    chain = history.lineage(model)
    stages = _add_chain(graph, chain)
    graph.add(_model_node(model), [stages["register"]] if "register" in stages else [])
    if not chain:
        graph.notes.append("The run that registered this version is gone: its lineage cannot be told.")
    return graph


def _of_run(run_id: str, chain: dict[str, StageRecord], history: History) -> LineageGraph:
    last = max(chain, key=list(BY_NAME).index)
    graph = LineageGraph(title=f"Run {run_id}", root=f"stage:{chain[last].run_id}", backward=True)
    stages = _add_chain(graph, chain)
    for model in history.models:
        if "register" in chain and model.run_id == chain["register"].run_id:
            graph.root = graph.add(_model_node(model), [stages["register"]])
    return graph


def _of_cohort(name: str, current: str, history: History) -> LineageGraph:
    graph = LineageGraph(title=f"Cohort {name}", root=f"cohort:{name}", backward=False)
    graph.add(Node(graph.root, "cohort", name, (("version here", current or "not in this project"),)))
    for trace in traces_of_cohort(history, name):
        version = trace.ingest.cohorts[name]
        state = "as it is here" if version == current else "another version"
        at = graph.add(
            Node(f"version:{version}", "cohort", f"{name} {_short(version)}", (("state", state),)), [graph.root]
        )
        _add_trace(graph, trace, at)
    if len(graph.nodes) == 1:
        graph.notes.append("No data set was made of it yet.")
    return graph


def _of_patient(pseudonym: str, history: History) -> LineageGraph:
    found = traces_of_patient(history, pseudonym)
    graph = LineageGraph(title=f"Patient {pseudonym}", root=f"patient:{pseudonym}", backward=False)
    graph.add(Node(graph.root, "patient", pseudonym))
    for trace in found.traces:
        for study in trace.studies:
            version = trace.ingest.cohorts.get(study["cohort"], "")
            key = f"cohort:{study['cohort']}:{version}"
            graph.add(Node(key, "cohort", study["cohort"], (("version", _short(version)),)), [graph.root])
            _add_trace(graph, trace, key)
    if not found.traces:
        graph.notes.append("No recorded data set holds this patient.")
    if found.unrecorded:
        graph.notes.append(
            f"{len(found.unrecorded)} data sets of older runs kept no record of their patients and may hold this one."
        )
    if found.must_be_retrained:
        titles = ", ".join(model.title for model in found.must_be_retrained)
        graph.notes.append(f"Made of this patient's scans and in use; to be retrained after a withdrawal: {titles}.")
    return graph


def _add_chain(graph: LineageGraph, chain: dict[str, StageRecord]) -> dict[str, str]:
    """Boxes for stage runs and for the cohorts that they read; stage -> key of its box."""
    keys: dict[str, str] = {}
    for spec in STAGES:
        record = chain.get(spec.name)
        if record is None:
            continue
        before = [keys[upstream] for upstream in keys if (upstream, spec.name) in edges()]
        for name, version in record.cohorts.items():
            key = f"cohort:{name}:{version}"
            before.append(graph.add(Node(key, "cohort", name, (("version", _short(version)),))))
        keys[spec.name] = graph.add(_stage_node(record), before)
        graph.params[spec.name] = record.params
    if "ingest" in chain:
        patients = patients_of(chain["ingest"]).get("patients", {})
        graph.files = [
            {"patient": pseudonym, "split": patient["split"], **study}
            for pseudonym, patient in sorted(patients.items())
            for study in patient["studies"]
        ]
    return keys


def _add_trace(graph: LineageGraph, trace: Trace, after: str) -> None:
    facts = [("made by run", trace.ingest.run_id[:SHORT])]
    if trace.split:
        facts += [("patient's part", trace.split), ("studies", str(len(trace.studies)))]
    title = f"data set {trace.dataset_sha256[:SHORT]}"
    key = graph.add(Node(f"dataset:{trace.dataset_sha256}", "dataset", title, tuple(facts)), [after])
    for model in trace.models:
        graph.add(_model_node(model), [key])


def _model_key(model: ModelRecord) -> str:
    return f"model:{model.name}:{model.version}"


def _model_node(model: ModelRecord) -> Node:
    origin = tagged(model.tags, PREFIX)
    facts = [
        ("gate", model.tags.get("gate", "")),
        ("weights", model.tags.get("cascade_sha256", "")[:SHORT]),
        ("pipeline run", origin.get("pipeline_run_id", "")[:SHORT]),
        ("recipe's commit", origin.get("git_sha", "")[:SHORT]),
        ("not committed", f"changes.diff {origin['diff_sha256'][:SHORT]}" if origin.get("diff_sha256") else ""),
    ]
    return Node(_model_key(model), "model", model.title, tuple((name, value) for name, value in facts if value))


def _stage_node(record: StageRecord) -> Node:
    outputs = [(name, sha256[:SHORT]) for name, sha256 in record.outputs.items()]
    facts = [
        ("run", record.run_id[:SHORT]),
        *outputs,
        *_own_facts(record),
        ("commit", record.tags.get("git_sha", "")[:SHORT]),
        ("code", record.code_version[:SHORT]),
        ("image", record.tags.get("image", "none, run in place")),
        ("on", record.device),
    ]
    return Node(f"stage:{record.run_id}", "stage", BY_NAME[record.stage].title, tuple(facts))


def _own_facts(record: StageRecord) -> list[tuple[str, str]]:
    """What is worth knowing of one stage and of no other."""
    if record.stage == "ingest":
        parts = [(part, record.metrics.get(f"patients_{part}")) for part in ("train", "validation", "test")]
        return [("patients", ", ".join(f"{count:.0f} {part}" for part, count in parts if count is not None))]
    if record.stage == "adapt_sam":
        size = record.params.get("architecture.size", "")
        weights = record.params.get("architecture.checkpoint_sha256", "")[:SHORT]
        return [("SAM", f"{size}, checkpoint {weights}" if weights else f"{size}, from scratch")]
    if record.stage == "train_cascade":
        return [("trained", f"{record.params.get('steps', '?')} steps, seed {record.params.get('seed', '?')}")]
    return []


def _short(version: str) -> str:
    kind, _, digits = version.partition(":")
    return f"{kind}:{digits[:SHORT]}" if digits else version or "not recorded"
