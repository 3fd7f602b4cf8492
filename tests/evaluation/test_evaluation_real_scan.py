"""The thinning trap: copying noise must never pay."""

import numpy as np
import pytest

from scintiflow.dataset.study import VIEWS
from scintiflow.evaluation import metrics
from scintiflow.evaluation.baselines import Gaussian, Identity
from scintiflow.evaluation.cases import body_by_threshold
from scintiflow.evaluation.pictures import draw_real_scan
from scintiflow.evaluation.real_scan import score_real_scan


@pytest.fixture(scope="module")
def scan(cohort):
    return cohort.dataset.pair(next(cohort.dataset.rows("test"))["study"]).standard


@pytest.fixture(scope="module")
def restorers(scan):
    def copies_noise(rapid, factor):  # the optimum of training A -> S: E[S | A] = A + mean (1 - 1/f)
        return rapid + Gaussian(1.5)(rapid, factor) * (1 - 1 / factor)

    return {"identity": Identity(), "gaussian": Gaussian(1.2), "copies_noise": copies_noise}


def test_identity_and_noise_copying_do_not_beat_the_gaussian(scan, restorers, params):
    scored = score_real_scan(scan, restorers, 2.0, 1, params.data_range_counts)
    by_method = scored.table.groupby("method").mean(numeric_only=True)
    for loser in ("identity", "copies_noise"):
        assert by_method.loc[loser, "psnr_held_out"] < by_method.loc["gaussian", "psnr_held_out"] - 0.5
        assert by_method.loc[loser, "psnr_corrected"] < by_method.loc["gaussian", "psnr_corrected"] - 3
        assert by_method.loc[loser, "deviance_held_out"] > by_method.loc["gaussian", "deviance_held_out"]
    assert (scored.table["psnr_held_out"] < scored.table["ceiling_held_out"] + 0.1).all()

    # the trap itself: against S, which contains the input, the copier looks better than even the ceiling
    body = body_by_threshold(scored.rapid)[0]
    trapped = metrics.psnr(scored.estimates["copies_noise"][0], scan[0], 40.0, body)
    assert trapped > metrics.psnr(scored.estimates["gaussian"][0], scan[0], 40.0, body)
    assert trapped > metrics.ceiling(scan[0], 40.0, body)


def test_the_numbers_agree_with_the_truth(cohort, scan, restorers, params):
    from scintiflow.counts import counts_sha256
    from scintiflow.phantom.truth import find_truth

    truth = find_truth(cohort.truth, counts_sha256(scan)).mean_standard
    scored = score_real_scan(scan, restorers, 2.0, 1, params.data_range_counts, VIEWS)
    for view in range(2):
        line = scored.table[(scored.table["method"] == "identity") & (scored.table["view"] == VIEWS[view])]
        against_truth = metrics.psnr(scored.estimates["identity"][view], truth[view], 40.0, scored.body[view])
        assert line["psnr_corrected"].item() == pytest.approx(against_truth, abs=0.3)
        assert line["count_bias"].item() == pytest.approx(0, abs=0.02)


def test_parts_add_up_and_a_seed_repeats(scan, restorers, params):
    scored, again = (score_real_scan(scan[:1], restorers, 3.0, 4, params.data_range_counts) for _ in range(2))
    assert np.array_equal(scored.rapid + scored.held_out, scan[:1])
    assert np.array_equal(scored.rapid, again.rapid)
    assert scored.rapid.sum() == pytest.approx(scan[:1].sum() / 3, rel=0.02)
    assert set(scored.table["view"]) == {"view 1"}, "it may be either"


def test_estimates_instead_of_counts_are_refused(scan, restorers, params):
    with pytest.raises(ValueError, match="integers"):
        score_real_scan(scan.astype(np.float32), restorers, 2.0, 1, params.data_range_counts)


def test_a_single_view_is_drawn(scan, restorers, params, tmp_path):
    from PIL import Image

    scored = score_real_scan(
        scan[:1], {"restored": Gaussian(1.2), "identity": Identity()}, 2.0, 1, params.data_range_counts
    )
    picture = draw_real_scan(scored, tmp_path / "scan.png", "A real scan")
    with Image.open(picture.path) as image:
        assert image.width > 300
    assert "counts per pixel (black)" in picture.caption
