"""The wide simulator: equal numbers, equal scenes; rapid counts follow the target; the spread is as wide as asked."""

import numpy as np
import pytest

from scintiflow.dataset.scenes import SceneSampler
from scintiflow.params import ScenesParams
from scintiflow.phantom.components import Components, load_components, make_components, simulate_components
from scintiflow.structures import BODY, BONE, STRUCTURES


@pytest.fixture(scope="module")
def child() -> Components:
    return simulate_components(3, 0, 4.0, 6.0)


def settings(**changes) -> ScenesParams:
    values = {
        "children": 1,
        "validation_children": 1,
        "seed": 5,
        "youngest_years": 4.0,
        "oldest_years": 6.0,
        "scales": [0.7, 1.5],
        "counts": [0.25, 4.0],
        "accelerations": [1.3, 4.3],
        "blurred_share": 0.4,
        "largest_blur_pixels": 1.5,
        "shapes_share": 0.1,
    }
    return ScenesParams.model_validate(values | changes)


def test_a_child_is_the_sum_of_its_structures(child):
    assert child.layers.shape[:2] == (len(STRUCTURES), 2)
    assert (child.layers >= 0).all()
    views = child.layers.sum(axis=(0, 2, 3), dtype=np.float64)
    assert views.mean() == pytest.approx(175e3 * (1 + 2.6 * 5 / 16), rel=0.15)  # a child of four to six years
    bone = child.layers[BONE].astype(np.float64)
    assert bone[child.body].sum() > 0.9 * bone.sum()  # scatter and blur spill a little over the skin


def test_components_are_kept_and_not_made_twice(tmp_path):
    first = make_components(tmp_path, 3, 1, 4.0, 6.0, workers=1)
    written = first[0].stat().st_mtime_ns
    both = make_components(tmp_path, 3, 2, 4.0, 6.0, workers=2)
    assert both[0].stat().st_mtime_ns == written
    np.testing.assert_array_equal(load_components(both[1]).layers, simulate_components(3, 1, 4.0, 6.0).layers)


def test_a_batch_depends_on_its_number_alone(child):
    one, other = (SceneSampler([child], settings(), 64, 3) for _ in range(2))
    one.batch(0)
    for name in ("input", "k", "target", "masks"):
        np.testing.assert_array_equal(getattr(one.batch(7), name), getattr(other.batch(7), name))
    assert not np.array_equal(one.batch(7).input, one.batch(8).input)


def test_rapid_counts_are_poisson_about_the_target(child):
    batch = SceneSampler([child], settings(), 64, 40).batch(0)
    expected = batch.target / batch.k[:, None, None, None]
    np.testing.assert_array_equal(batch.input, np.round(batch.input))
    deviation = (batch.input - expected) / np.sqrt(expected)
    seen = expected > 1
    assert deviation[seen].mean() == pytest.approx(0, abs=4 / np.sqrt(seen.sum()))
    assert deviation[seen].var() == pytest.approx(1, abs=0.03)


def test_counts_scale_the_whole_picture(child):
    once, fourfold = (
        SceneSampler([child], settings(counts=[factor, factor * 1.0001], shapes_share=0.0), 64, 4).batch(0).target
        for factor in (1.0, 4.0)
    )
    bright = once > 1
    np.testing.assert_allclose(fourfold[bright] / once[bright], 4.0, rtol=0.02)  # but for the floor of the room


def test_accelerations_fill_their_range(child):
    sampler = SceneSampler([child], settings(), 32, 60)
    k = np.concatenate([sampler.batch(step).k for step in range(5)])
    assert ((k >= 1.3) & (k <= 4.3)).all()
    assert k.min() < 1.5
    assert k.max() > 3.5


def test_the_body_is_where_the_child_is(child):
    batch = SceneSampler([child], settings(shapes_share=0.0), 64, 30).batch(2)
    body = batch.masks[:, BODY] > 0.5
    target = batch.target[:, 0]
    assert body.any()
    assert target[body].mean() > 10 * target[~body].mean()


def test_geometric_shapes_have_no_child(child):
    shapes = SceneSampler([child], settings(shapes_share=1.0), 64, 8).batch(0)
    assert (shapes.target >= 0).all()
    assert (shapes.target.mean(axis=(1, 2, 3)) < 40).all()
    assert (shapes.masks[:, BODY].mean(axis=(1, 2)) > 0.2).all()


def test_masks_of_structures_never_come_with_a_scene(child):
    """f^IR1 of the reference model learns without semantics."""
    batch = SceneSampler([child], settings(), 64, 3).batch(0)
    assert not batch.masks[:, BONE].any()


def two_views(child: Components, patches: int, **changes) -> SceneSampler:
    changes = {"shapes_share": 0.0, "blurred_share": 0.0, "lesions_per_patch": 0.0} | changes
    return SceneSampler([child], settings(**changes), 64, patches, views=2)


def test_the_opposite_view_lies_over_the_view_it_accompanies(child):
    batch = two_views(child, 60).batch(1)
    assert batch.opposite.shape == (60, 2, 64, 64)
    measured = batch.opposite[:, 1].any(axis=(1, 2))
    assert 0.7 < measured.mean() < 1, "a scan of one view must be known too"
    assert not batch.opposite[~measured].any()
    likeness = [
        np.corrcoef(np.sqrt(seen).ravel(), np.sqrt(opposite[0]).ravel())[0, 1]
        for seen, opposite in zip(batch.target[measured, 0], batch.opposite[measured], strict=True)
    ]
    turned = [
        np.corrcoef(np.sqrt(seen).ravel(), np.sqrt(opposite[0, :, ::-1]).ravel())[0, 1]
        for seen, opposite in zip(batch.target[measured, 0], batch.opposite[measured], strict=True)
    ]
    assert np.median(likeness) > 0.5
    assert np.mean(np.array(likeness) > np.array(turned)) > 0.8


def test_a_lesion_is_seen_from_both_sides(child):
    plain, spotted = (
        two_views(child, 1, lesions_per_patch=number).scene(np.random.default_rng(8)) for number in (0.0, 12.0)
    )
    assert (spotted.expected / plain.expected).max() > 1.3
    assert (spotted.opposite / plain.opposite).max() > 1.3


def test_a_lesion_weighs_more_and_most_where_it_is_restored_too_faint(child):
    plain = two_views(child, 6, lesions_per_patch=12.0).batch(0)
    assert plain.weight_if_too_low is None
    weighed = two_views(child, 6, lesions_per_patch=12.0, lesion_weight=30.0, faint_lesion_weight=90.0).batch(0)
    np.testing.assert_array_equal(weighed.input, plain.input)
    extra = weighed.masks[:, BODY] - plain.masks[:, BODY]
    assert 15 < extra.max() <= 30
    np.testing.assert_allclose(weighed.weight_if_too_low[:, 0], 3 * extra, rtol=1e-5, atol=1e-4)
    assert not weighed.weight_if_too_low[:, 0][plain.masks[:, BODY] == 0].any()


def test_noise_of_both_views_is_independent(child):
    """Else the network could subtract it."""
    sampler = two_views(child, 40)
    batch = sampler.batch(0)
    generator = np.random.default_rng(np.random.SeedSequence([5, 0]))
    opposites = np.stack([sampler.scene(generator).opposite for _ in range(40)])
    expected = np.stack([batch.target[:, 0], opposites]) / batch.k[:, None, None]
    counts = np.stack([batch.input[:, 0], batch.opposite[:, 0]])
    measured = (batch.opposite[:, 1] == 1) & (expected > 1).all(axis=0)
    noise = (counts[:, measured] - expected[:, measured]) / np.sqrt(expected[:, measured])
    assert noise[1].var() == pytest.approx(1, abs=0.05)
    assert abs(np.mean(noise[0] * noise[1])) < 4 / np.sqrt(measured.sum())


def test_one_view_stays_what_it_was(child):
    assert SceneSampler([child], settings(), 64, 3).batch(0).opposite is None
