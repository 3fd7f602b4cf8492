"""Scoring and statistics: the numbers that decide whether a model may be used."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from scintiflow.dataset.priors import Prior, save_prior
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import AnscombeBm3d, Gaussian, Identity
from scintiflow.evaluation.cases import load_case
from scintiflow.evaluation.columns import IDENTIFIERS, NUMBERS, age_band
from scintiflow.evaluation.scoring import score_dataset
from scintiflow.evaluation.summary import flat_numbers, paired_difference, patient_values, summarise
from scintiflow.structures import BODY, BONE, STRUCTURES


def wide_gaussian(rapid, ratio):
    return Gaussian(1.5)(rapid, ratio)


@pytest.fixture(scope="module")
def restorers():
    return {"restored": wide_gaussian, "identity": Identity(), "gaussian": Gaussian(1.2), "bm3d": AnscombeBm3d()}


@pytest.fixture(scope="module")
def table(cohort, restorers, params):
    return score_dataset(cohort.dataset, "test", restorers, cohort.truth, None, params, workers=2)


def mean(table, method, metric):
    return table.loc[table["method"] == method, metric].mean()


def test_one_row_for_each_patient_study_view_and_method(table):
    assert list(table.columns) == [*IDENTIFIERS, *NUMBERS]
    assert len(table) == 4 * 2 * 6
    assert not table.duplicated(["patient", "study", "view", "method"]).any()
    assert set(table["data_range_counts"]) == {40.0}
    assert set(table["regions_from"]) == {"truth"}


def test_equal_numbers_for_any_number_of_workers(cohort, restorers, params, table):
    quick = {name: restorer for name, restorer in restorers.items() if name != "bm3d"}
    alone = score_dataset(cohort.dataset, "test", quick, cohort.truth, None, params, workers=1)
    together = table[table["method"] != "bm3d"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.drop(columns="seconds"), together.drop(columns="seconds"), check_exact=True)


def test_the_truth_is_perfect_and_a_second_look_scores_the_ceiling(table):
    perfect = table[table["method"] == "truth"]
    assert perfect["psnr_truth"].isna().all()
    assert np.allclose(perfect["ssim_truth"], 1)
    assert np.allclose(perfect[["count_bias", "bone_bias", "false_hot_spots", "lesions_missed"]], 0)
    assert np.allclose(perfect["lesion_contrast"], 1)
    assert mean(table, "truth", "psnr_standard") == pytest.approx(mean(table, "truth", "ceiling_standard"), abs=0.15)
    assert mean(table, "standard", "psnr_truth") == pytest.approx(mean(table, "truth", "ceiling_standard"), abs=0.15)
    assert table.loc[table["method"] == "standard", "psnr_standard"].isna().all()


def test_the_rapid_scan_lies_where_statistics_put_it(table, cohort):
    ratio = float(cohort.dataset.table["count_ratio"].iloc[0])
    below = mean(table, "identity", "ceiling_standard") - mean(table, "identity", "psnr_standard")
    assert below == pytest.approx(10 * math.log10(ratio + 1), abs=0.2)
    assert mean(table, "identity", "count_bias") == pytest.approx(0, abs=0.01)


def test_methods_are_ordered_as_they_should_be(table):
    order = [mean(table, method, "psnr_truth") for method in ("identity", "gaussian", "bm3d")]
    assert order == sorted(order)
    assert mean(table, "identity", "false_hot_spots") > mean(table, "standard", "false_hot_spots")
    assert mean(table, "standard", "lesion_cnr") > mean(table, "identity", "lesion_cnr")


def test_noise_corrected_psnr_agrees_with_the_truth(table, params):
    methods = summarise(table, params)["methods"]
    for method in ("identity", "gaussian", "bm3d"):
        assert methods[method]["psnr_corrected"]["mean"] == pytest.approx(
            methods[method]["psnr_truth"]["mean"], abs=1.0
        )


def test_real_children_are_scored_without_truth(real_cohort, params, tmp_path):
    dataset, quick = real_cohort.dataset, {"restored": wide_gaussian, "identity": Identity(), "gaussian": Gaussian(1)}
    table = score_dataset(dataset, "test", quick, real_cohort.truth, None, params, workers=1)
    assert set(table["method"]) == set(quick)
    assert set(table["reference"]) == {"standard"}
    assert set(table["regions_from"]) == {"threshold"}
    assert table[["psnr_truth", "lesion_contrast", "bone_bias"]].isna().all(axis=None)
    assert mean(table, "restored", "psnr_standard") > mean(table, "identity", "psnr_standard")
    summary = summarise(table, params)
    assert summary["gate"]["psnr_metric"] == "psnr_corrected"
    assert summary["gate"]["psnr_gain_over_identity_db"]["mean"] > 5
    assert summary["gate"]["lesion_contrast"] == {"mean": None, "low": None, "high": None, "patients": 0}

    study = next(dataset.rows("test"))
    masks = np.zeros((len(STRUCTURES), *dataset.pair(study["study"]).rapid.shape), dtype=np.uint8)
    masks[BODY, :, 20:100], masks[BONE, :, 40:50] = 200, 128
    masks[BONE, :, 60:70] = 127
    save_prior(tmp_path / f"{study['study']}.npz", Prior(masks, masks))
    case = load_case(dataset, study, None, tmp_path)
    assert case.regions_from == "prior"
    assert case.body.sum() == (masks[BODY] > 0).sum()
    assert case.bone.sum() == (masks[BONE] == 128).sum()


def test_wrong_restorers_and_empty_splits_are_errors(cohort, params):
    with pytest.raises(ScintiflowError, match="no patients"):
        score_dataset(cohort.dataset, "train", {"identity": Identity()}, None, None, params)
    for broken in (lambda rapid, k: rapid[:1], lambda rapid, k: rapid * np.nan):
        with pytest.raises(ScintiflowError, match="not finite"):
            score_dataset(cohort.dataset, "test", {"restored": broken}, None, None, params, workers=1)
    with pytest.raises(ValueError, match="reference row"):
        score_dataset(cohort.dataset, "test", {"truth": Identity()}, None, None, params)


def test_the_summary_is_strict_json_and_its_report_flat(table, params):
    summary = summarise(table, params)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    numbers = flat_numbers(summary)
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["psnr_truth_bm3d"] == pytest.approx(mean(table, "bm3d", "psnr_truth"))
    assert numbers["psnr_gain_over_identity_db_low"] < numbers["psnr_gain_over_identity_db"]
    assert numbers["patients"] == 4
    assert set(summary["by_view"]) == {"anterior", "posterior"}
    assert sum(len(part) > 0 for part in summary["by_age"].values()) == len(set(table["age_band"]))


def synthetic(differences, params):
    generator = np.random.default_rng(9)
    skill = generator.normal(30, 3, len(differences))
    return pd.DataFrame(
        {
            "patient": [f"p{number:03d}" for number in range(len(differences))] * 2,
            "method": ["restored"] * len(differences) + ["identity"] * len(differences),
            "psnr_truth": np.concatenate([skill + differences, skill]),
        }
    )


def test_pairing_removes_the_scatter_between_patients(params):
    table = synthetic(0.5 + 0.1 * np.random.default_rng(10).normal(size=40), params)
    found = paired_difference(table, "restored", "identity", "psnr_truth", params)
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(40), rel=0.4)
    assert found["share_gained"] == 1


def test_intervals_cover_at_their_rate(params):
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        found = paired_difference(
            synthetic(generator.normal(0.3, 1, 30), params), "restored", "identity", "psnr_truth", params
        )
        covered += found["low"] <= 0.3 <= found["high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_a_patient_counts_once_however_many_views_it_has(params):
    table = pd.DataFrame(
        {"patient": ["a", "a", "a", "b"], "method": "restored", "psnr_truth": [1.0, 2.0, 3.0, 10.0], "lesions": 1}
    )
    assert list(patient_values(table, "restored", "psnr_truth")) == [2.0, 10.0]
    assert list(patient_values(table, "restored", "lesions")) == [3, 1]


@pytest.mark.parametrize(
    ("years", "band"),
    [(0.5, "under 2 years"), (2.0, "2 to 5 years"), (11.9, "6 to 11 years"), (16, "12 years and over")],
)
def test_age_bands(years, band):
    assert age_band(years) == band
    assert age_band(math.nan) == "age unknown"


def test_real_children_are_held_against_the_hot_spots_of_their_standard_scan(
    real_cohort, draw_anatomy, params, tmp_path
):
    dataset = real_cohort.dataset
    for number, row in enumerate(dataset.rows("test"), start=1):  # the first child validates
        _, masks, _ = draw_anatomy(np.random.default_rng([7, number]))
        both = np.repeat(masks[:, :1].astype(np.uint8) * 255, 2, axis=1)
        both[:, 1] = both[:, 0, :, ::-1]
        save_prior(tmp_path / f"{row['study']}.npz", Prior(both, both))

    def inventing(rapid, ratio):
        estimate = Gaussian(1.0)(rapid, ratio)
        estimate[:, 30:33, 34:38] += 25.0  # in the spine, far from every lesion
        return estimate

    restorers = {"gaussian": Gaussian(1.0), "flattening": Gaussian(9.0), "inventing": inventing}
    table = score_dataset(dataset, "test", restorers, real_cohort.truth, tmp_path, params, workers=1)
    assert set(table["regions_from"]) == {"prior"}
    assert (table["lesions"] >= 1).all()  # each of these children has a lesion that its standard scan shows
    assert table["lesion_contrast"].isna().all()  # nobody knows the true contrast
    missed, invented = (table.groupby("method")[name].sum() for name in ("lesions_missed", "false_hot_spots"))
    assert missed["gaussian"] < missed["flattening"]
    assert invented["inventing"] >= invented["gaussian"] + len(table) / 3
    assert table[["added_blur_mm", "consistency_z", "bone_bias"]].notna().all(axis=None)
    blur = table.groupby("method")["added_blur_mm"].mean()
    assert blur["flattening"] > blur["gaussian"]
