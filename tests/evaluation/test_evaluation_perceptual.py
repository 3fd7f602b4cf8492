"""Perceptual metrics: real code with weights that the test makes, and never a number without weights."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from torchvision.models import alexnet

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import Identity
from scintiflow.evaluation.perceptual import Inception, Lpips, Perceptual, inception_picture, load_perceptual
from scintiflow.evaluation.scoring import score_split
from scintiflow.evaluation.weights import NotAvailable


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.manual_seed(0)
    network = alexnet(weights=None, num_classes=1000)
    torch.save(network.state_dict(), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest(), network.eval()


def test_without_weights_both_are_not_available_and_say_why(params):
    perceptual = load_perceptual(params)
    assert isinstance(perceptual.lpips, NotAvailable)
    assert str(perceptual.inception).startswith("not available: no Inception weights")
    assert set(perceptual.reasons()) == {"lpips", "fid", "kid", "sam_frechet"}
    absent = params.model_copy(update={"lpips_trunk": "nowhere/alexnet.pth", "lpips_trunk_sha256": "0" * 64})
    assert "absent" in load_perceptual(absent).reasons()["lpips"]


def test_a_wrong_or_missing_hash_is_an_error(params, trunk):
    for name, sha256 in itertools.product(("lpips_trunk", "inception"), ("0" * 64, "")):
        wrong = params.model_copy(update={name: str(trunk[0]), f"{name}_sha256": sha256})
        with pytest.raises(ScintiflowError, match="SHA-256"):
            load_perceptual(wrong)


def test_a_file_that_is_no_state_dict_is_an_error(params, trunk, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Evil()}, path)
    named = {"lpips_trunk": str(path), "lpips_trunk_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(ScintiflowError, match="not a state dict"):
        load_perceptual(params.model_copy(update=named))
    for foreign in (path, trunk[0]):  # a pickle, and another network
        with pytest.raises(ScintiflowError, match="not a state dict"):
            Inception(foreign, 40.0)


def test_lpips_uses_the_trunk_of_the_file(params, trunk):
    path, sha256, network = trunk
    loaded = load_perceptual(params.model_copy(update={"lpips_trunk": str(path), "lpips_trunk_sha256": sha256}))
    assert isinstance(loaded.lpips, Lpips)
    generator = np.random.default_rng(12)
    reference = generator.gamma(2, 4, (96, 80))
    near, far = reference + 0.5 * generator.normal(size=reference.shape), generator.gamma(2, 4, reference.shape)
    assert loaded.lpips(reference, reference) == pytest.approx(0, abs=1e-6)
    assert 0 < loaded.lpips(near, reference) < loaded.lpips(far, reference)
    assert loaded.lpips(near, reference) == pytest.approx(independent_lpips(network, near, reference), rel=1e-3)
    assert math.isnan(loaded.lpips(reference[:20], reference[:20]))


def independent_lpips(network, a, b):
    """LPIPS written out from its definition, with the package's linear heads."""
    from pathlib import Path

    import lpips

    heads = torch.load(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    total = 0.0
    features = []
    for image in (a, b):
        x = torch.from_numpy(np.clip(image / 40.0, 0, 1) * 2 - 1).float()[None, None].expand(1, 3, -1, -1)
        x = (x - shift[None, :, None, None]) / scale[None, :, None, None]
        taps = []
        with torch.no_grad():
            for place, layer in enumerate(network.features):
                x = layer(x)
                if place in (1, 4, 7, 9, 11):
                    taps.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        features.append([tap.clone() for tap in taps])
    for number, (one, other) in enumerate(zip(*features, strict=True)):
        weight = heads[f"lin{number}.model.1.weight"]
        total += float(((one - other) ** 2 * weight).sum(1).mean())
    return total


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """The real architecture with random weights, in a file like the published one."""
    import torch_fidelity.feature_extractor_inceptionv3 as inceptionv3

    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.manual_seed(1)
    patch = pytest.MonkeyPatch()
    patch.setattr(inceptionv3, "load_state_dict_from_url", lambda *a, **k: {})
    patch.setattr(inceptionv3.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    network = inceptionv3.FeatureExtractorInceptionV3("random", ["2048"])
    patch.undo()
    torch.save(network.state_dict(), path)
    return path


def test_inception_shows_views_of_any_size_to_the_network_of_the_file(inception):
    generator = np.random.default_rng(13)
    views = [generator.gamma(2, 4, shape) for shape in ((70, 30), (200, 80), (40, 40))]
    features = Inception(inception, 40.0, features=64)(views)
    assert features.shape == (3, 64)
    again = Inception(inception, 40.0, features=64)([views[1]])
    assert np.allclose(again[0], features[1], atol=1e-5)
    assert inception_picture(views[0], 40.0).shape == (299, 299)
    assert inception_picture(np.full((9, 9), 99.0), 40.0).max() == 255


@pytest.mark.slow
def test_the_whole_inception_loads_and_gives_its_2048_features(inception, params):
    sha256 = hashlib.sha256(inception.read_bytes()).hexdigest()
    loaded = load_perceptual(params.model_copy(update={"inception": str(inception), "inception_sha256": sha256}))
    assert not {"fid", "kid"} & set(loaded.reasons())
    features = loaded.inception([np.random.default_rng(14).gamma(2, 4, (150, 60)) for _ in range(2)])
    assert features.shape == (2, 2048)
    assert np.isfinite(features).all()


def test_real_metrics_reach_the_table_with_their_numbers_and_floor(cohort, params, trunk, inception):
    perceptual = Perceptual(Lpips(trunk[0], 40.0), Inception(inception, 40.0, features=64), NotAvailable("off"))
    scores = score_split(
        cohort.dataset, "test", {"identity": Identity()}, cohort.truth, None, params, perceptual=perceptual, workers=2
    )
    scored = scores.patients[scores.patients["method"] == "identity"]
    assert (scored["lpips_standard"] > 0).all()
    for metric in ("fid", "kid"):
        found = scores.whole_set[metric]
        assert (found["available"], found["patients"], found["views"]) == (True, 4, 8)
        assert scored[f"{metric}_standard"].unique() == pytest.approx(found["methods"]["identity"]["value"])
        assert found["floor"] < found["methods"]["identity"]["value"]
        assert set(found["methods"]) == {"identity", "truth"}
    kid = scores.whole_set["kid"]["methods"]["identity"]
    assert kid["low"] <= kid["value"] <= kid["high"]
    assert scores.whole_set["sam_frechet"]["reason"] == "off"
