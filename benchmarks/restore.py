"""Seconds for restoring one two-view scan, by every method side by side, with what each takes to load and in memory.

    python benchmarks/restore.py                       # all methods, three rounds, 1024 x 256
    python benchmarks/restore.py --methods graph,torch --rounds 5 --rows 2048 --columns 512

Each method lives in a process of its own, so that memory is its own. The processes take turns, one scan at a time, so
that a busy machine treats them alike; beside the clock stand the processor's seconds, which hardly depend on who else
is there. Weights of U-Net, SAM and f^IR2 are random: they cost what trained ones cost. All but one use the CPU alone.

- graph: f^IR1 as `scintiflow restore` runs it, the reference model's ONNX graph in onnxruntime;
- torch: the same weights in torch, under the same rule of one thread for each view;
- bm3d: Anscombe + BM3D, view by view;
- unet: the plain U-Net of the same width and depth, in torch;
- cascade: f^IR1, then SAM (ViT-B, 1024 pixels) for the masks, then f^IR2, which inference does not need;
- cuda: the torch weights on a CUDA device, its two transfers included; where there is none, the row is left out.
"""

import argparse
import os
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine

from scintiflow.files import whole_file
from scintiflow.params import TrainCascadeParams, changed, load_params
from scintiflow.restoration.model_folder import REFERENCE_FOLDER, description_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "benchmarks" / "restore"
K = 2.0
MEAN_COUNTS = 2.0  # of a rapid scan's pixel inside the body
SPACING_MM = 2.26
AGAIN = "again"
WARM_UP = 160  # rows and columns, more than a training patch
CUDA = "cuda"
Restore = Callable[[np.ndarray, float], np.ndarray]


def main() -> None:
    arguments = parsed()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as the product: a thread for each view
    rapid = scan(arguments.rows, arguments.columns)
    for rows in measured(arguments.methods, rapid, arguments.rounds, arguments.cores):
        table = markdown(rows, arguments)
        with whole_file(FOLDER / "table.md") as partial:
            partial.write_text(table, encoding="utf-8")
    print(table)


def scan(rows: int, columns: int) -> np.ndarray:
    """Counts of something that lies where a child lies: `[view, row, column]`."""
    y, x = np.mgrid[-1 : 1 : complex(rows), -1 : 1 : complex(columns)]
    inside = (np.abs(x) < 0.45) & (np.abs(y) < 0.92)
    mean = np.where(inside, MEAN_COUNTS * (1 + 0.8 * np.cos(9 * y) * np.cos(7 * x)), 0.01)
    return np.random.default_rng(1).poisson(np.stack([mean, mean])).astype(np.uint16)


def measured(methods: list[str], rapid: np.ndarray, rounds: int, cores: int) -> Iterator[dict[str, dict]]:
    """For each method processor seconds to load, by round the clock's and the processor's seconds, MiB so far.

    Yields all that is known after every scan.
    """
    context = get_context("spawn")
    found: dict[str, dict] = {}
    links: dict[str, Connection] = {}
    for number in range(rounds):
        for name in methods:
            if name not in links:
                links[name], there = context.Pipe()
                context.Process(target=serve, args=(name, rapid, cores, there), daemon=True).start()
                found[name] = {"load": links[name].recv(), "rounds": []}
            links[name].send(AGAIN)
            answer = links[name].recv()
            found[name]["rounds"].append(answer["seconds"])
            found[name]["mib"] = answer["mib"]
            print(f"round {number + 1}, {name}: {answer}", file=sys.stderr, flush=True)
            yield {known: row for known, row in found.items() if row["rounds"]}
    for link in links.values():
        link.send("enough")


def serve(name: str, rapid: np.ndarray, cores: int, link: Connection) -> None:
    """In a process of its own: load, restore a piece to warm up, then restore when asked."""
    restore = METHODS[name](cores)
    link.send(time.process_time())
    restore(rapid if name == CUDA else rapid[:, :WARM_UP, :WARM_UP], K)  # a device chooses its kernels by size
    while link.recv() == AGAIN:
        _, seconds = timed(lambda: restore(rapid, K))
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        link.send({"seconds": seconds, "mib": mib})


def timed(work: Callable) -> tuple:
    """What the work gives, and (clock's, processor's) seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - clock, time.process_time() - processor)


def graph(cores: int) -> Restore:
    from scintiflow.restoration.runtime import open_restorer

    return open_restorer(REFERENCE_FOLDER, cores)


def torch_alone(cores: int) -> Restore:
    from concurrent.futures import ThreadPoolExecutor

    from scintiflow.dataset.opposite import opposite_views
    from scintiflow.restoration.runtime import torch_view

    view, two_views = torch_view(REFERENCE_FOLDER), description_of(REFERENCE_FOLDER).get("views", 1) == 2

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        opposites = list(opposite_views(rapid)) if two_views else [None] * len(rapid)
        with ThreadPoolExecutor(min(cores, len(rapid))) as pool:
            return np.stack(list(pool.map(view, rapid, [k] * len(rapid), opposites)))

    return restore


def bm3d(cores: int) -> Restore:
    from scintiflow.evaluation.baselines import AnscombeBm3d

    return AnscombeBm3d()


def unet(cores: int) -> Restore:
    import torch

    from scintiflow.restoration.cascade import Cascade
    from scintiflow.restoration.restorer import RestorationNetwork
    from scintiflow.restoration.variants import plain_unet

    network = RestorationNetwork(Cascade(plain_unet(recipe())).first).eval()

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(rapid.astype(np.float32))[None], k)[0].numpy()

    return restore


def cascade(cores: int) -> Restore:
    import torch
    from segment_anything import build_sam_vit_b

    from scintiflow.restoration.cascade import Cascade
    from scintiflow.restoration.restorer import RestorationNetwork, load_network
    from scintiflow.sam.prediction import predict

    sam, second = build_sam_vit_b().eval(), Cascade(recipe()).second.eval()
    first: RestorationNetwork = load_network(REFERENCE_FOLDER)
    ceiling = load_params(ROOT / "params.yaml").adapt_sam.display_ceiling_counts

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        masks = torch.from_numpy(predict(sam, rapid * k, SPACING_MM, ceiling, False)[0])
        counts = torch.from_numpy(rapid.astype(np.float32))[None]
        with torch.no_grad():
            views = [
                second(restored, masks[None, :, view]).counts[0, 0]
                for view, restored in enumerate(first.by_view(counts, k))
            ]
        return torch.stack(views).numpy()

    return restore


def cuda(cores: int) -> Restore:
    from scintiflow.restoration.restorer import load_restorer

    return load_restorer(REFERENCE_FOLDER, CUDA)


def recipe() -> TrainCascadeParams:
    """That of params.yaml around the reference model's f^IR1: f^IR2 looks at what that one gives."""
    description = description_of(REFERENCE_FOLDER)
    own = {name: description[name] for name in ("first", "views", "base_blur_pixels", "patch_pixels")}
    return changed(load_params(ROOT / "params.yaml").train_cascade, **own)


METHODS: dict[str, Callable[[int], Restore]] = {
    "graph": graph, "torch": torch_alone, "bm3d": bm3d, "unet": unet, "cascade": cascade, CUDA: cuda,
}  # fmt: skip


def markdown(rows: dict[str, dict], arguments: argparse.Namespace) -> str:
    """One row for each method; ratios of processor seconds to the first method and to BM3D."""
    bases = [next(iter(rows)), *(["bm3d"] if "bm3d" in rows and next(iter(rows)) != "bm3d" else [])]
    ratios = " | ".join(f"times {base} (processor)" for base in bases)
    lines = [
        f"| method | s, processor | s, clock | {ratios} | load, s processor | MiB |",
        "|---|---|---|" + "---|" * len(bases) + "---|---|",
    ]
    for name, row in rows.items():
        clock, processor = (median(values) for values in zip(*row["rounds"], strict=True))
        ratios = " | ".join(f"{ratio(row, rows[base]):.2f}" for base in bases)
        lines.append(f"| {name} | {processor:.3g} | {clock:.3g} | {ratios} | {row['load']:.1f} | {row['mib']:.0f} |")
    load = os.getloadavg()[0]
    words = (
        f"One scan of 2 x {arguments.rows} x {arguments.columns}, medians of {arguments.rounds} rounds, "
        f"{arguments.cores} cores; load average {load:.1f}. {machine()}. "
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )
    return "\n".join([*lines, "", words, ""])


def ratio(row: dict, base: dict) -> float:
    """Median over the rounds of the ratio of processor seconds within a round."""
    return median(own[1] / other[1] for own, other in zip(row["rounds"], base["rounds"], strict=False))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", type=lambda text: text.split(","), default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--cores", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parser.parse_args()
    if arguments.methods is None:
        import torch  # here, and not in the processes that are measured

        arguments.methods = [name for name in METHODS if name != CUDA or torch.cuda.is_available()]
    if unknown := [name for name in arguments.methods if name not in METHODS]:
        parser.error(f"unknown methods {unknown}; known: {', '.join(METHODS)}")
    return arguments


if __name__ == "__main__":
    main()
