"""What each training step sees: a variation of a scan with its image embedding.

Where the encoder learns, variations are drawn anew at every turn. Where it is frozen, a few variations
of each scan go through it once and are kept on disk: a canvas of 1024 pixels takes 2 MiB of embedding
(fp16) and 0.6 MiB of targets (uint8), so 137 patients with three variations each take 1.4 GiB of disk
and, whatever their number, the memory of one. A run that was killed finds them again.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from scintiflow.files import whole_file
from scintiflow.params import AdaptSamParams
from scintiflow.progress import track
from scintiflow.sam.build import mask_side
from scintiflow.sam.canvas import place as place_on_canvas
from scintiflow.sam.samples import Drawn, Sample, draw_sample, draw_variation

# (turn, random numbers of the step) -> embedding [1, channel, y, x] and the drawing it belongs to
Examples = Callable[[int, np.random.Generator], tuple[Tensor, Drawn]]


def fresh(sam: Sam, samples: list[Sample], params: AdaptSamParams) -> Examples:
    """A new variation of a scan at every turn, through the encoder that learns."""
    size, side = sam.image_encoder.img_size, mask_side(sam)

    def example(turn: int, generator: np.random.Generator) -> tuple[Tensor, Drawn]:
        sample = samples[_whose_turn(turn, len(samples), params.seed)]
        drawn = draw_variation(sample, size, side, params.display_ceiling_counts, generator)
        return _encode(sam, drawn), drawn

    return example


def cached(sam: Sam, samples: list[Sample], params: AdaptSamParams, folder: Path) -> Examples:
    """Every scan as it is and `params.cached_variations` of it, from `folder`; what is missing is put there.

    The caller names a folder of its own for each set of parameters, scans and weights.
    """
    size, side, ceiling = sam.image_encoder.img_size, mask_side(sam), params.display_ceiling_counts
    versions = 1 + params.cached_variations

    def drawing(place: int, version: int) -> Drawn:
        if version == 0:
            return draw_sample(samples[place], size, side, ceiling)
        generator = np.random.default_rng(np.random.SeedSequence([params.seed, 0, place, version]))
        return draw_variation(samples[place], size, side, ceiling, generator)

    wanted = [(place, version) for place in range(len(samples)) for version in range(versions)]
    missing = [where for where in wanted if not _is_whole(_entry(folder, *where))]
    with torch.no_grad():
        for place, version in track(missing, "embedding training scans") if missing else []:
            drawn = drawing(place, version)
            _save(_entry(folder, place, version), _encode(sam, drawn).cpu(), drawn)

    def example(turn: int, generator: np.random.Generator) -> tuple[Tensor, Drawn]:
        place, version = _whose_turn(turn, len(samples), params.seed), int(generator.integers(versions))
        return _load(_entry(folder, place, version), samples[place], size, sam.pixel_mean.device)

    return example


def _encode(sam: Sam, drawn: Drawn) -> Tensor:
    return sam.image_encoder(sam.preprocess(drawn.image.to(sam.pixel_mean.device))[None])


def _entry(folder: Path, place: int, version: int) -> Path:
    return folder / f"{place:05d}-{version}.npz"


def _is_whole(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def _save(path: Path, embedding: Tensor, drawn: Drawn) -> None:
    with whole_file(path) as partial, partial.open("wb") as target:
        np.savez(
            target,
            embedding=embedding.half().numpy(),
            target=torch.round(drawn.target * 255).to(torch.uint8).numpy(),
            mirrored=np.array(drawn.mirrored),
        )


def _load(path: Path, sample: Sample, image_size: int, device: torch.device) -> tuple[Tensor, Drawn]:
    with np.load(path, allow_pickle=False) as packed:
        embedding = torch.from_numpy(packed["embedding"]).float().to(device)
        target = torch.from_numpy(packed["target"]).float() / 255
        mirrored = bool(packed["mirrored"])
    prompts = (sample.mirrored() if mirrored else sample).prompts
    placement = place_on_canvas(sample.counts.shape[1:], prompts.body_boxes, image_size)
    return embedding, Drawn(embedding.new_empty(0), target, prompts, placement, mirrored)


def _whose_turn(turn: int, number: int, seed: int) -> int:
    """Every sample once in each round, in an order of its own for each round."""
    order = np.random.default_rng(np.random.SeedSequence([seed, turn // number])).permutation(number)
    return int(order[turn % number])
