"""A withdrawal names the models that must be trained again."""

from scintiflow.cluster.withdrawal import retrain_lines

ANNA, BERT = "P-00000000000000aa", "P-00000000000000bb"


def test_models_in_use_are_named_and_strangers_are_not(pipeline):
    study = {"study": "S-1", "cohort": "a", "file_sha256": "f"}
    pipeline.run("first", patients={ANNA: {"split": "train", "studies": [study]}})
    lines = list(retrain_lines(ANNA))
    assert lines[0] == "Models: scintiflow version 1 (champion) was made with this patient (train)"
    assert "To be retrained" in lines[1]
    assert list(retrain_lines(BERT)) == ["Models: none that this registry knows was made of this patient's scans"]
