"""What the options of training cost or save: steps per second beside those of the plain recipe, as ratios.

    python benchmarks/training.py                                       # the recipe of params.yaml
    python benchmarks/training.py --profile laptop --pixels 64 --patches 4 --steps 10 --rounds 3

Every round runs each option once, one after the other, through the same training loop, and a ratio compares runs of
one round, so that a busy machine disturbs all alike. "By the clock" is what a user waits; "by processor time" leaves
out what the machine does beside. The first fifth of the steps, in which kernels are compiled, is not counted.
Scans are random counts: speed does not depend on what they show.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from restoring.machine import machine

from scintiflow.dataset.examples import Study
from scintiflow.dataset.patches import PatchSampler
from scintiflow.params import TrainCascadeParams, changed, load_params
from scintiflow.restoration.training import bfloat16_is_native, fit
from scintiflow.restoration.validation import thinned_views
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import SilentTracker

ROOT = Path(__file__).parents[1]
PLAIN = "plain"
TITLES = {
    PLAIN: "float32, one batch a step",
    "accumulation": "gradient accumulation, two half batches (`batches_per_step`)",
    "bfloat16": "bfloat16 (`mixed_precision`)",
    "compile": "`torch_compile`",
    "bfloat16-compile": "bfloat16 and `torch_compile`",
}
CHANGES: dict[str, dict] = {
    PLAIN: {},
    "accumulation": {"batches_per_step": 2},
    "bfloat16": {"mixed_precision": True},
    "compile": {"torch_compile": True},
    "bfloat16-compile": {"mixed_precision": True, "torch_compile": True},
}


class Clock(SilentTracker):
    """When which step was recorded: (step, clock, processor time of this process)."""

    def __init__(self) -> None:
        self.readings: list[tuple[int, float, float]] = []

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        if step is not None:
            self.readings.append((step, time.perf_counter(), time.process_time()))

    def steps_per_second(self) -> tuple[float, float]:
        """By the clock and by processor time, from the first reading to the last before validation."""
        (first, *began), (last, *ended) = self.readings[0], self.readings[-2]
        by_clock, by_processor = ((last - first) / (end - begin) for begin, end in zip(began, ended, strict=True))
        return by_clock, by_processor


def main() -> None:
    arguments = parsed()
    profile = ROOT / "profiles" / f"{arguments.profile}.yaml" if arguments.profile else None
    plain = changed(
        load_params(ROOT / "params.yaml", profile).train_cascade,
        steps=arguments.steps,
        validate_every=arguments.steps,
        checkpoint_every=arguments.steps,
        patches_per_step=arguments.patches,
        patch_pixels=arguments.pixels,
        mixed_precision=False,
        start_from="",
        start_from_sha256="",
    )
    native = bfloat16_is_native()
    names = [PLAIN, *(name for name in arguments.options if native or not CHANGES[name].get("mixed_precision"))]
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            speeds[name].append(speed(with_option(plain, name)))
    print(table(plain, speeds, arguments.rounds))


def with_option(plain: TrainCascadeParams, name: str) -> TrainCascadeParams:
    """The same number of patches in each step, whatever the option."""
    option = CHANGES[name]
    return changed(plain, patches_per_step=plain.patches_per_step // option.get("batches_per_step", 1), **option)


def speed(params: TrainCascadeParams) -> tuple[float, float]:
    studies = [study(number, 2 * params.patch_pixels) for number in range(4)]
    sampler = PatchSampler(
        studies, patch_pixels=params.patch_pixels, patches=params.patches_per_step, thinned_share=1.0, seed=1
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit(params, sampler, thinned_views(studies[:1], 1, params.views), Path(folder), "benchmark", clock)
    return clock.steps_per_second()


def study(seed: int, side: int) -> Study:
    standard = np.random.default_rng(seed).poisson(3.0, (2, side, side)).astype(np.uint16)
    masks = np.full((len(STRUCTURES), 2, side, side), 255, np.uint8)
    return Study(standard // 2, standard, masks, 2.0, ((0, 0), (0, 0)))


def table(plain: TrainCascadeParams, speeds: dict[str, list[tuple[float, float]]], rounds: int) -> str:
    lines = [
        "| option | steps/s | ratio by the clock | ratio by processor time |",
        "|---|---|---|---|",
    ]
    for name, own in speeds.items():
        ratios = [[mine[kind] / base[kind] for mine, base in zip(own, speeds[PLAIN], strict=True)] for kind in (0, 1)]
        cells = [f"{statistics.median(kind):.2f} [{min(kind):.2f}, {max(kind):.2f}]" for kind in ratios]
        lines.append(
            f"| {TITLES[name]} | {statistics.median(each[0] for each in own):.2f} | {cells[0]} | {cells[1]} |"
        )
    size = f"{plain.patches_per_step} patches of {plain.patch_pixels} pixels"
    networks = f"f^IR1 {plain.first.width} wide, f^IR2 {plain.second.width} wide"
    return "\n".join(lines) + (
        f"\n\nMedian [smallest, largest] of {rounds} rounds of {plain.steps} steps of {size}, {networks}."
        f" Machine: {machine()}, load {os.getloadavg()[0]:.0f}."
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="", help="laptop, or another of profiles/")
    parser.add_argument(
        "--options",
        type=lambda text: text.split(","),
        default=[name for name in CHANGES if name != PLAIN],
        help=f"of {', '.join(CHANGES)}; bfloat16 is left out where it is not native",
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patches", type=int, default=16, help="of one step, an even number (16)")
    parser.add_argument("--pixels", type=int, default=160)
    return parser.parse_args()


if __name__ == "__main__":
    main()
