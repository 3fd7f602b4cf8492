"""Whether a rerun is the same: a planted difference is found where it is."""

from dataclasses import replace

import pytest

from scintiflow.cluster.comparison import GPU_TOLERANCE, NOT_COMPARED, compare_runs
from scintiflow.registry.lineage import StageRecord
from scintiflow.stages.graph import STAGES

METRICS = {"psnr": 30.0, "count_bias": -0.001, "seconds": 12.0}


@pytest.fixture
def chain():
    """One run of every stage, on a CPU."""
    return {
        spec.name: StageRecord(
            stage=spec.name,
            run_id=spec.name,
            parent_run_id="parent",
            experiment_id="1",
            started=number,
            seconds=1.0,
            params={},
            metrics=METRICS,
            tags={f"output.{spec.writes}.sha256": f"{number:064}", "device": "cpu"},
        )
        for number, spec in enumerate(STAGES)
    }


def planted(chain, stage, **changes):
    return chain | {stage: replace(chain[stage], **changes)}


def test_a_run_is_the_same_as_itself(chain):
    comparison = compare_runs(chain, chain)
    assert comparison.is_same
    assert comparison.first_difference is None
    assert {stage.stage for stage in comparison.stages} == set(chain) - {"register", "fetch_champion"}
    assert {stage.stage: stage.same_bytes for stage in comparison.stages}["train_cascade"] is True


def test_one_other_bit_in_the_weights_is_found_in_its_stage(chain):
    tags = chain["train_cascade"].tags | {"output.cascade.sha256": "0" * 64}
    comparison = compare_runs(chain, planted(chain, "train_cascade", tags=tags))
    assert not comparison.is_same
    assert comparison.first_difference == "train_cascade"
    (difference,) = next(stage for stage in comparison.stages if stage.stage == "train_cascade").differences
    assert (difference.name, difference.new) == ("SHA-256 of cascade", "0" * 64)


def test_the_last_digit_of_a_metric_counts_on_a_cpu(chain):
    metrics = chain["evaluate"].metrics | {"psnr": 30.000000000000004}
    comparison = compare_runs(chain, planted(chain, "evaluate", metrics=metrics))
    assert comparison.first_difference == "evaluate"


def test_speed_is_not_compared(chain):
    assert "seconds" in NOT_COMPARED
    metrics = chain["evaluate"].metrics | {"seconds": 99.0}
    assert compare_runs(chain, planted(chain, "evaluate", metrics=metrics)).is_same


@pytest.mark.parametrize(("share", "is_same"), [(0.5, True), (2.0, False)])
def test_a_gpu_is_held_to_the_stated_tolerance(chain, share, is_same):
    on_gpu = {
        name: replace(record, tags=record.tags | {"device": "NVIDIA H100", "output.cascade.sha256": name})
        for name, record in chain.items()
    }
    metrics = chain["evaluate"].metrics | {"psnr": 30.0 * (1 + share * GPU_TOLERANCE)}
    comparison = compare_runs(chain, planted(on_gpu, "evaluate", metrics=metrics))
    assert comparison.on_gpu
    assert comparison.is_same is is_same


def test_a_stage_that_is_missing_is_a_difference(chain):
    rest = {name: record for name, record in chain.items() if name != "evaluate"}
    assert compare_runs(chain, rest).first_difference == "evaluate"
