"""Files of pretrained weights: which the recipe names, which are there, whether they are the right ones.

Nothing is downloaded. A file counts only with the SHA-256 that params.yaml states for it; another file under
its name is an error, never a fallback.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file
from scintiflow.params import Params

PRESENT, WRONG, ABSENT, NOT_NAMED = "present, hash right", "present, hash WRONG", "absent", "not named in the recipe"


@dataclass(frozen=True)
class NotAvailable:
    """A metric or method that cannot be computed here, and why."""

    reason: str

    def __str__(self) -> str:
        return f"not available: {self.reason}"


@dataclass(frozen=True)
class Weights:
    """One file that the recipe may name.

    Attributes:
        name: of the network; needed_for: what does not work without the file.
        key: of params.yaml for the path; that of the hash is `<key>_sha256`.
        source: where its authors publish it, and as which file.
    """

    name: str
    needed_for: str
    key: str
    path: str
    sha256: str
    source: str


@dataclass(frozen=True)
class WeightsStatus:
    """A file as it was found: one of PRESENT, WRONG, ABSENT, NOT_NAMED; `found_sha256` is '' without a file."""

    weights: Weights
    state: str
    found_sha256: str = ""


def named_weights(params: Params) -> list[Weights]:
    """Every file of pretrained weights that this recipe can use."""
    sam, evaluation = params.adapt_sam.architecture, params.evaluate
    return [
        Weights(
            f"Segment Anything ({sam.size})",
            "the stages adapt_sam and distil_priors"
            if sam.size != "small"
            else "nothing: 'small' starts from nothing",
            "adapt_sam.architecture.checkpoint",
            sam.checkpoint,
            sam.checkpoint_sha256,
            "'Model Checkpoints' in the README of github.com/facebookresearch/segment-anything; "
            "vit_b is sam_vit_b_01ec64.pth",
        ),
        Weights(
            "AlexNet (ImageNet, torchvision)",
            "LPIPS",
            "evaluate.lpips_trunk",
            evaluation.lpips_trunk,
            evaluation.lpips_trunk_sha256,
            "torchvision's AlexNet_Weights.IMAGENET1K_V1: alexnet-owt-7be5be79.pth under "
            "download.pytorch.org/models; its SHA-256 starts with 7be5be79",
        ),
        Weights(
            "Inception v3 (FID's, 2015)",
            "FID and KID",
            "evaluate.inception",
            evaluation.inception,
            evaluation.inception_sha256,
            "release v0.2.0 of github.com/toshas/torch-fidelity: weights-inception-2015-12-05-6726825d.pth; "
            "its SHA-256 starts with 6726825d",
        ),
    ]


def weights_status(weights: Weights) -> WeightsStatus:
    """Look at the file and hash it."""
    if not weights.path:
        return WeightsStatus(weights, NOT_NAMED)
    path = Path(weights.path)
    if not path.is_file():
        return WeightsStatus(weights, ABSENT)
    found = sha256_file(path)
    return WeightsStatus(weights, PRESENT if found == weights.sha256 else WRONG, found)


def status_lines(found: list[WeightsStatus]) -> Iterator[str]:
    """What `scintiflow weights status` prints: each file, its state, and how to mend it."""
    for status in found:
        weights = status.weights
        yield f"{weights.name}: {status.state}"
        yield f"    needed for  {weights.needed_for}"
        yield f"    path        {weights.path or '(none)'}  ({weights.key})"
        if weights.sha256:
            yield f"    SHA-256     {weights.sha256}  ({weights.key}_sha256)"
        if status.state == WRONG:
            yield f"    found       {status.found_sha256}"
        if status.state == PRESENT:
            continue
        yield f"    source      {weights.source}"
        yield f"    to do       {_TO_DO[status.state].format(key=weights.key)}"
    if any(status.state in (WRONG, ABSENT) for status in found):
        yield ""
        yield "Without internet: fetch the file on another machine, write down its sha256sum, carry both in,"
        yield "compare again, put the file at its path (on a cluster: into the volume of weights)."
        yield "More in docs/how-to/weights.md."


_TO_DO = {
    WRONG: "fetch the file again, or correct {key}_sha256 in params.yaml if you trust this file",
    ABSENT: "put the file at this path and compare its sha256sum",
    NOT_NAMED: "nothing, if you can do without; else set {key} and {key}_sha256 in params.yaml",
}


def verified(path: str, sha256: str, key: str, network: str) -> Path | NotAvailable:
    """The file, if it is the one that the recipe means; why it is not available otherwise.

    Raises ScintiflowError for a file with another SHA-256, or one named without its SHA-256.
    """
    if not path:
        return NotAvailable(f"no {network} weights given (evaluate.{key})")
    if not sha256:
        raise ScintiflowError(
            "weights are named without their SHA-256",
            where=f"evaluate.{key}",
            remedy=f"Set evaluate.{key}_sha256 to the published hash",
        )
    weights = Path(path)
    if not weights.is_file():
        return NotAvailable(f"{network} weights are absent: {path}")
    found = sha256_file(weights)
    if found != sha256:
        raise ScintiflowError(
            f"SHA-256 is {found}, expected {sha256}",
            where=weights,
            remedy=f"Fetch the {network} weights again, or correct evaluate.{key}_sha256",
        )
    return weights
