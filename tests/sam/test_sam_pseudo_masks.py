"""Pseudo-masks against exact masks: of simulated children, and of crude ones in corner cases."""

import numpy as np
import pytest
from crude_child import SPACING_MM

from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.sam.overlap import dice
from scintiflow.sam.pseudo_masks import pseudo_masks
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS


@pytest.fixture(scope="module")
def simulated_scores() -> np.ndarray:
    """Dice `[child, structure]` of children of 1.5, 5 and 12 years."""
    scores = []
    for index, age in enumerate((1.5, 5.0, 12.0)):
        one = simulate_child(7, index, Velocities(3.333, 6.667), 0.5, 16.0, 3, age=age)
        scores.append(dice(pseudo_masks(one.counts_standard, 2.26), one.truth.masks_standard))
    return np.array(scores)


@pytest.mark.parametrize(("structure", "least"), [(BODY, 0.9), (BONE, 0.65), (BLADDER, 0.7), (KIDNEYS, 0.5)])
def test_simulated_children_are_outlined(simulated_scores, structure, least):
    assert simulated_scores[:, structure].mean() > least


def test_masks_are_mirrored_with_the_scan(child):
    counts = np.random.default_rng(1).poisson(child().mean).astype(np.uint16)
    straight, turned = pseudo_masks(counts, SPACING_MM), pseudo_masks(counts[..., ::-1].copy(), SPACING_MM)[..., ::-1]
    for structure in (BODY, BONE, BLADDER):
        assert dice(straight, turned)[structure] > 0.97


def test_a_child_without_injection_site_in_the_picture_gets_none(child):
    generator = np.random.default_rng(2)
    with_site, without = (generator.poisson(child(hot_hand=hot).mean).astype(np.uint16) for hot in (True, False))
    assert pseudo_masks(with_site, SPACING_MM)[INJECTION_SITE].any()
    assert not pseudo_masks(without, SPACING_MM)[INJECTION_SITE].any()


def test_bone_kidneys_bladder_do_not_overlap_and_lie_in_the_body(child):
    masks = pseudo_masks(np.random.default_rng(3).poisson(child().mean).astype(np.uint16), SPACING_MM)
    assert masks[[BONE, KIDNEYS, BLADDER]].sum(axis=0).max() == 1
    assert not (masks[[BONE, KIDNEYS, BLADDER]] & ~masks[BODY]).any()


def test_an_empty_scan_has_empty_masks():
    assert not pseudo_masks(np.zeros((2, 64, 32), dtype=np.uint16), SPACING_MM).any()
