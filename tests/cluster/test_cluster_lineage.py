"""Lineage both ways, from runs as a real MLflow keeps them."""

import json

import pytest

from scintiflow.cluster.lineage_display import lineage_as_json, lineage_tree, place, write_page
from scintiflow.cluster.lineage_graph import lineage_of
from scintiflow.errors import ScintiflowError
from scintiflow.params import changed
from scintiflow.registry.lineage import History
from scintiflow.registry.runs import close_parent
from scintiflow.registry.traces import traces_of_patient
from scintiflow.stages.graph import BY_NAME

ANNA, BERT = "P-00000000000000aa", "P-00000000000000bb"


def patients(*pseudonyms: str) -> dict:
    study = {"study": "S-1", "cohort": "ge-millennium", "file_sha256": "f", "rapid_counts_sha256": "r"}
    return {name: {"split": "train", "studies": [study]} for name in pseudonyms}


@pytest.fixture
def two_models(pipeline):
    """Version 1 of both patients; then another evaluation only; then version 3 without Bert."""
    pipeline.run("first", patients=patients(ANNA, BERT))
    pipeline.params = pipeline.params.model_copy(update={"evaluate": changed(pipeline.params.evaluate, seed=9)})
    pipeline.run("second", stages=["evaluate", "register", "restore_real"])
    pipeline.params = pipeline.params.model_copy(
        update={"ingest": changed(pipeline.params.ingest, largest_shift_mm=7.0)}
    )
    pipeline.run("third", patients=patients(ANNA))
    return History.read()


def test_a_model_is_followed_to_its_cohorts_through_runs_that_a_cache_skipped(two_models, pipeline):
    second = two_models.model("scintiflow", "2")
    chain = two_models.lineage(second)
    assert set(chain) >= {"ingest", "adapt_sam", "distil_priors", "train_cascade", "evaluate", "register"}
    assert "restore_real" not in chain  # it used the model, the model did not use it
    parents = {stage: record.parent_run_id for stage, record in chain.items()}
    assert parents["ingest"] == parents["train_cascade"] != parents["evaluate"] == parents["register"]
    assert chain["evaluate"].params["seed"] == "9"
    assert chain["ingest"].cohorts == {name: pipeline.cohorts[name] for name in pipeline.params.ingest.cohorts}


def test_the_rerun_of_a_stage_with_the_same_result_does_not_steal_an_older_models_lineage(pipeline):
    pipeline.run("first")
    before = {stage: run.run_id for stage, run in history_chain("1").items()}
    pipeline.run("second")  # the same bytes once more
    assert {stage: run.run_id for stage, run in history_chain("1").items()} == before
    assert not set(before.values()) & {run.run_id for run in history_chain("2").values()}


def history_chain(version: str):
    history = History.read()
    return history.lineage(history.model("scintiflow", version))


def test_a_withdrawn_patient_is_found_in_every_model_and_in_no_other(two_models):
    bert = traces_of_patient(two_models, BERT)
    assert {model.version for model in bert.models} == {"1", "2"}
    assert bert.must_be_retrained == ()  # the champion, version 3, never saw Bert
    anna = traces_of_patient(two_models, ANNA)
    assert {model.version for model in anna.models} == {"1", "2", "3"}
    assert [model.version for model in anna.must_be_retrained] == ["3"]
    assert anna.unrecorded == ()


def test_data_sets_without_a_record_are_not_passed_over_in_silence(pipeline, tmp_path):
    pipeline.run("old")
    graph = lineage_of(ANNA, History.read(), tmp_path)
    assert any("kept no record" in note for note in graph.notes)


def test_every_target_gives_a_graph_whose_arrows_point_right(two_models, tmp_path):
    champion = two_models.model("scintiflow", "champion")
    run_id = two_models.lineage(champion)["train_cascade"].run_id
    for target in ("scintiflow@champion", "scintiflow@1", run_id, run_id[:10], "ge-millennium", ANNA):
        graph = lineage_of(target, two_models, tmp_path)
        assert graph.root in graph.nodes
        boxes = place(graph)
        assert all(boxes[start].left < boxes[end].left for start, end in graph.arrows)
        assert json.dumps(lineage_as_json(graph))
        assert lineage_tree(graph).label
    last = lineage_of("scintiflow@3", two_models, tmp_path)
    assert {node.title for node in last.nodes.values() if node.kind == "stage"} == {
        stage.title for name, stage in BY_NAME.items() if name != "restore_real"
    }
    assert [file["patient"] for file in last.files] == [ANNA]


def test_a_cohort_tells_its_models_by_version(two_models, tmp_path):
    graph = lineage_of("ge-millennium", two_models, tmp_path)
    assert {node.title for node in graph.nodes.values() if node.kind == "model"} == {
        "scintiflow version 1", "scintiflow version 2", "scintiflow version 3 (champion)",
    }  # fmt: skip


@pytest.mark.parametrize("target", ["nonsense", "scintiflow@nobody", "deadbeef"])
def test_what_is_unknown_is_refused_with_a_remedy(two_models, tmp_path, target):
    with pytest.raises(ScintiflowError) as refused:
        lineage_of(target, two_models, tmp_path)
    assert refused.value.remedy


def test_the_page_asks_nothing_of_a_network_and_escapes_what_it_shows(two_models, tmp_path):
    graph = lineage_of(ANNA, two_models, tmp_path)
    graph.notes.append("<script>alert(1)</script>")
    write_page(graph, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert page.count("<rect") == 2 * len(graph.nodes)


def test_a_registry_that_does_not_exist_is_empty_and_is_not_created(tmp_path):
    (tmp_path / "mlflow.db").unlink()
    assert History.read().records == []
    assert not (tmp_path / "mlflow.db").exists()


def test_a_pod_that_saw_no_dvc_file_has_the_versions_that_its_pipeline_pinned(pipeline):
    versions, pipeline.cohorts = pipeline.cohorts, {}
    pipeline.run("first")
    close_parent("FINISHED", {}, {f"cohort.{name}": version for name, version in versions.items()}, [])
    (ingest,) = (record for record in History.read().records if record.stage == "ingest")
    assert ingest.cohorts == {name: versions[name] for name in pipeline.params.ingest.cohorts}
