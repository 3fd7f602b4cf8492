"""The optimisation: a resumable loop over variations of the training samples that keeps the best weights.

The random numbers of a step depend on the seed and the step alone, so a run that was killed goes on
from its last checkpoint and ends, on a CPU, with the weights it would have had.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from scintiflow.files import whole_file
from scintiflow.params import AdaptSamParams
from scintiflow.progress import work
from scintiflow.sam.adapter import load_trained_state
from scintiflow.sam.examples import Examples, cached, fresh
from scintiflow.sam.overlap import mask_loss
from scintiflow.sam.prediction import mask_logits
from scintiflow.sam.prompts import jittered, to_canvas
from scintiflow.sam.samples import Sample
from scintiflow.sam.trainable import Trainable
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import Tracker

WARM_UP = 0.05  # share of the steps
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
ASKED_FOR = {"body": 1.0, "bone": 2.0, "kidneys": 2.0, "bladder": 2.0, "injection_site": 2.0}


@dataclass(frozen=True)
class Result:
    """Best weights by validation Dice, that Dice, the step it was reached, and the losses of all steps."""

    state: dict[str, Tensor]
    dice: float
    step: int
    losses: list[float]


def train(
    sam: Sam,
    samples: list[Sample],
    params: AdaptSamParams,
    validate: Callable[[], float],
    checkpoint: Path,
    fingerprint: str,
    tracker: Tracker,
) -> Result:
    """Train `sam` in place and load its best weights.

    Args:
        validate: mean Dice of the network as it stands, on validation patients.
        checkpoint: file to resume from and to write every `params.validate_every` steps; embeddings of
            a frozen encoder are kept beside it.
        fingerprint: of data and parameters; a checkpoint with another one is not used.
    """
    trainable = Trainable.from_params(params)
    learning = trainable.freeze_the_rest(sam)
    optimizer = torch.optim.AdamW(learning, lr=params.learning_rate, weight_decay=WEIGHT_DECAY)
    best, best_dice, best_step, losses = trainable.state(sam), -1.0, 0, list[float]()
    done = _load(checkpoint, fingerprint)
    if done is not None:
        load_trained_state(sam, done["state"])
        optimizer.load_state_dict(done["optimizer"])
        best, best_dice, best_step, losses = done["best"], done["best_dice"], done["best_step"], done["losses"]

    with deterministic():
        if trainable.encoder_learns:
            examples = fresh(sam, samples, params)
        else:
            examples = cached(sam, samples, params, checkpoint.with_name(f"embeddings-{fingerprint[:16]}"))
    with deterministic(), work("adapting SAM", params.steps) as bar:
        bar.advance(len(losses))
        for step in range(len(losses) + 1, params.steps + 1):
            losses.append(_step(sam, optimizer, learning, examples, params, step))
            bar.advance(note=f"loss {losses[-1]:.3f}")
            if step % params.validate_every and step != params.steps:
                continue
            dice = validate()
            if dice > best_dice:
                best, best_dice, best_step = trainable.state(sam), dice, step
            progress = {
                "fingerprint": fingerprint,
                "state": trainable.state(sam),
                "optimizer": optimizer.state_dict(),
                "best": best,
                "best_dice": best_dice,
                "best_step": best_step,
                "losses": losses,
            }
            with whole_file(checkpoint) as partial:
                torch.save(progress, partial)
            recent = float(np.mean(losses[-params.validate_every :]))
            tracker.metrics({"sam_loss": recent, "sam_validation_dice": dice}, step=step)
    load_trained_state(sam, best)
    return Result(best, best_dice, best_step, losses)


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch add up in a fixed order where it can, and put its setting back afterwards."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _step(
    sam: Sam,
    optimizer: torch.optim.Optimizer,
    learning: list[torch.nn.Parameter],
    examples: Examples,
    params: AdaptSamParams,
    step: int,
) -> float:
    device = sam.pixel_mean.device
    optimizer.param_groups[0]["lr"] = params.learning_rate * _schedule((step - 0.5) / params.steps)
    optimizer.zero_grad()
    total = 0.0
    for place in range(params.scans_per_step):  # one scan after the other: memory does not grow with their number
        generator = np.random.default_rng(np.random.SeedSequence([params.seed, step, place]))
        embedding, drawn = examples((step - 1) * params.scans_per_step + place, generator)
        prompts = jittered(drawn.prompts, params.prompt_jitter, generator)
        boxes, points = to_canvas(prompts, drawn.placement)
        asked = _asked(params.structures_per_step, generator)
        logits = mask_logits(sam, embedding, boxes.to(device), points.to(device), params.shape_prompts, asked)
        loss = mask_loss(logits, drawn.target[asked].to(device), params.focal_weight) / params.scans_per_step
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(learning, LARGEST_GRADIENT)
    optimizer.step()
    return total


def _asked(number: int, generator: np.random.Generator) -> list[int]:
    """Which structures a step asks for: all, or some, the body less often because it is learned at once."""
    if number >= len(STRUCTURES):
        return list(range(len(STRUCTURES)))
    share = np.array([ASKED_FOR[structure] for structure in STRUCTURES])
    drawn = generator.choice(len(STRUCTURES), number, replace=False, p=share / share.sum())
    return sorted(drawn.tolist())


def _schedule(share: float) -> float:
    """Learning rate relative to its peak: a short linear rise, then half a cosine to zero."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def _load(checkpoint: Path, fingerprint: str) -> dict | None:
    if not checkpoint.is_file():
        return None
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return content if content["fingerprint"] == fingerprint else None
