"""f^IR1 as a function on a processor, without torch where the model's folder has a graph.

A view is restored by one thread, and the views of a scan side by side. So equal counts give equal bits on one kind of
processor, whatever the number of cores: no sum is split among threads (our design).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scintiflow.dataset.opposite import opposite_views
from scintiflow.errors import ScintiflowError
from scintiflow.restoration.model_folder import GRAPH, checked_weights, checkpoint_sha256, description_of

Restore = Callable[[np.ndarray, float], np.ndarray]
RestoreView = Callable[[np.ndarray, float, np.ndarray | None], np.ndarray]
WEIGHTS_PROPERTY = "first_sha256"  # of the graph: the weights it belongs to
SILENT = 3  # onnxruntime's log level: errors


def open_restorer(cascade_folder: Path, cores: int = 1) -> Restore:
    """A function (rapid counts `[view, row, column]`, k) -> estimated standard counts, float32, same shape.

    The folder's graph runs in onnxruntime. Torch runs what the graph cannot: views that are no larger than a training
    patch, where the network's windows are cut to the image, and models without a graph. Both agree to `onnx_graph.
    TOLERANCE`. At most `cores` views are restored at once.

    Raises ScintiflowError if weights or graph are not the described ones.
    """
    checked_weights(cascade_folder)
    description = description_of(cascade_folder)
    smallest, two_views = int(description["patch_pixels"]), description.get("views", 1) == 2
    graph = _graph_view(cascade_folder) if (cascade_folder / GRAPH).is_file() else None
    loaded: list[RestoreView] = []  # torch takes seconds to start, so only when it is needed

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        if rapid.ndim != 3:
            raise ValueError(f"counts must be [view, row, column], got {rapid.shape}")
        view = graph
        if view is None or min(rapid.shape[1:]) <= smallest:
            view = loaded[0] if loaded else torch_view(cascade_folder)
            loaded[:] = [view]
        opposites: list[np.ndarray | None] = list(opposite_views(rapid)) if two_views else [None] * len(rapid)
        with ThreadPoolExecutor(min(cores, len(rapid))) as pool:
            return np.stack(list(pool.map(view, rapid, [k] * len(rapid), opposites)))

    return restore


def _graph_view(folder: Path) -> RestoreView:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = SILENT
    try:
        session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises types of its own for every kind of broken file
        raise _unusable(folder, f"cannot be opened ({type(error).__name__})") from None
    if session.get_modelmeta().custom_metadata_map.get(WEIGHTS_PROPERTY) != checkpoint_sha256(folder):
        raise _unusable(folder, "belongs to other weights")

    # Memory goes back after each view: folders are restored in several processes. See benchmarks/session.py.
    run = onnxruntime.RunOptions()
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def restore(counts: np.ndarray, k: float, opposite: np.ndarray | None) -> np.ndarray:
        feed = {"counts": _batch(counts[None]), "k": np.array([k], np.float32)}
        if opposite is not None:
            feed["opposite"] = _batch(opposite)
        return session.run(["restored"], feed, run)[0][0, 0]

    return restore


def torch_view(folder: Path) -> RestoreView:
    """Torch as `RestoreView`: (counts `[row, column]`, k, opposite `[2, row, column]` or None) -> restored counts."""
    import torch

    from scintiflow.restoration.restorer import load_network

    network = load_network(folder)

    def restore(counts: np.ndarray, k: float, opposite: np.ndarray | None) -> np.ndarray:
        torch.set_num_threads(1)  # of this thread
        beside = None if opposite is None else torch.from_numpy(_batch(opposite))
        with torch.no_grad():
            ratio = torch.tensor([k], dtype=torch.float32)
            return network.one_view(torch.from_numpy(_batch(counts[None])), ratio, beside)[0, 0].numpy()

    return restore


def _batch(image: np.ndarray) -> np.ndarray:
    """`[channel, row, column]` -> float32 `[1, channel, row, column]`."""
    return np.ascontiguousarray(image[None], dtype=np.float32)


def _unusable(folder: Path, reason: str) -> ScintiflowError:
    return ScintiflowError(
        reason, where=folder / GRAPH, remedy="Write it again: `scintiflow models export FOLDER`, or remove it"
    )
