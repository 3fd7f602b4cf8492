"""Deliveries of paired pictures in, data set out: the counterpart of `packing` for sources that are no DICOM.

The data set has the same form, so that every later stage takes it: `studies/<study>.npz` with planes for views,
`manifest.parquet`, `quarantine.json`. What a picture does not have is NaN (age, velocities) or neutral: k is 1, a
pixel is one "mm". `dataset/` is a function of the files' content and names and the parameters alone.
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scintiflow import progress
from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import STUDIES, save_manifest
from scintiflow.dataset.packing import QUARANTINE, PackingReport
from scintiflow.dataset.picture_copies import copies_of_held_out, thumbnail
from scintiflow.dataset.picture_files import (
    PicturePair,
    PictureRefusedError,
    Refusal,
    list_delivery,
    read_pair,
)
from scintiflow.dataset.prepared import Preparation
from scintiflow.dataset.registration import Registration, register_view
from scintiflow.dataset.shares import Share
from scintiflow.dataset.split import check_split_sizes, patients_per_split, split_of
from scintiflow.dataset.study import Pair
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, whole_file, whole_folder, write_json
from scintiflow.keyed_store import KeyedStore
from scintiflow.modality import PICTURE
from scintiflow.params import IngestParams
from scintiflow.processes import in_processes

PAIRS_PER_PROCESS = 100  # fewer are read while a further process starts
SCANNER = "camera"  # pictures do not say which


@dataclass(frozen=True)
class _Packed:
    """What became of a pair: its manifest row and thumbnail, or why it was refused."""

    row: dict | None = None
    thumbnail: np.ndarray | None = None
    refusal: Refusal | None = None


def pack_pictures(
    cohorts: list[Path],
    params: IngestParams,
    dataset: Path,
    *,
    ahead: KeyedStore | None = None,
    workers: int | None = None,
) -> PackingReport:
    """Pair and pack the pictures of `cohorts` (see `picture_files`) into the folder `dataset`.

    Pairs that `pack_picture_share` has left in `ahead` are taken from there, and out of it.

    Raises ScintiflowError if a folder is no such delivery, nothing is left of all of them, or a split has fewer
    patients than the parameters ask for.
    """
    deliveries = [list_delivery(cohort) for cohort in cohorts]
    left_out = [
        _left_out(cohort, path, refusal)
        for cohort, delivery in zip(cohorts, deliveries, strict=True)
        for path, refusal in delivery.refused
    ]
    pairs = [pair for delivery in deliveries for pair in delivery.pairs]
    roots = {cohort.name: cohort for cohort in cohorts}

    def leave_out(pair: PicturePair, refusal: Refusal) -> None:
        left_out.extend(_left_out(roots[pair.cohort], path, refusal) for path in (pair.low, pair.high))

    with whole_folder(dataset) as folder:
        (folder / STUDIES).mkdir()
        packed: list[tuple[PicturePair, dict, np.ndarray]] = []
        preparation = Preparation(_register, ahead)
        pack = partial(_pack, params=params, studies=folder / STUDIES, preparation=preparation)
        done = in_processes(pack, pairs, workers or _useful_workers(pairs), "ingest", preload=__name__)
        for pair, found in zip(pairs, progress.track(done, "reading and packing pictures", len(pairs)), strict=True):
            if found.row is None or found.thumbnail is None:
                leave_out(pair, found.refusal or Refusal.UNREADABLE)
            else:
                packed.append((pair, found.row, found.thumbnail))
        copies = copies_of_held_out(
            np.array([small for _, _, small in packed]),
            [row["split"] for _, row, _ in packed],
            params.image_pairs.copy_correlation,
        )
        rows: dict[str, dict] = {}
        for (pair, row, _), is_copy in zip(packed, copies, strict=True):
            if is_copy or row["study"] in rows:
                leave_out(pair, Refusal.COPY_OF_HELD_OUT if is_copy else Refusal.DUPLICATE)
            else:
                rows[row["study"]] = row
        for path in (folder / STUDIES).iterdir():
            if path.stem not in rows:
                path.unlink()
        if not rows:
            raise ScintiflowError(
                f"no pair of pictures could be used ({_most_frequent(left_out)})",
                where=", ".join(map(str, cohorts)),
                remedy="Look at docs/how-to/image-pairs.md for the form of a delivery",
            )
        sizes = patients_per_split((row["patient"] for row in rows.values()), params.split)
        check_split_sizes(sizes, params.split)
        save_manifest(folder, list(rows.values()))
        write_json(folder / QUARANTINE, sorted(left_out, key=lambda entry: (entry["cohort"], entry["object"])))
    for row in rows.values():
        preparation.forget((row["rapid_counts_sha256"], row["standard_counts_sha256"]))
    return PackingReport(dataset, _numbers(list(rows.values()), left_out, sizes))


def pack_picture_share(
    cohorts: list[Path], params: IngestParams, share: Share, ahead: KeyedStore, *, workers: int | None = None
) -> dict[str, float]:
    """As `packing.pack_share`, for pictures."""
    pairs = [pair for cohort in cohorts for pair in list_delivery(cohort).pairs if share.holds(_patient(pair))]
    prepare = partial(_prepare, preparation=Preparation(_register, ahead))
    done = in_processes(prepare, pairs, workers or _useful_workers(pairs), "ingest", preload=__name__)
    made = sum(progress.track(done, "reading and packing pictures", len(pairs)))
    return {"pairs_prepared": float(made), "pairs_taken_over": float(len(pairs) - made)}


def _useful_workers(pairs: list[PicturePair]) -> int:
    return min(os.cpu_count() or 1, 1 + len(pairs) // PAIRS_PER_PROCESS)


def _prepare(pair: PicturePair, preparation: Preparation) -> bool:
    try:
        low, high = read_pair(pair)
    except PictureRefusedError:  # pack_pictures says so
        return False
    hashes = counts_sha256(low), counts_sha256(high)
    return preparation.prepare_ahead(hashes, lambda: Pair(rapid=low, standard=high))


def _register(low: np.ndarray, high: np.ndarray) -> tuple[Registration, ...]:
    """All planes of a picture lie at one place."""
    return (register_view(low.sum(axis=0), high.sum(axis=0)),)


def _patient(pair: PicturePair) -> str:
    return _pseudonym("P", f"scintiflow/picture-patient\0{pair.patient}")


def _pack(pair: PicturePair, params: IngestParams, studies: Path, preparation: Preparation) -> _Packed:
    """Read, register and write one pair."""
    try:
        low, high = read_pair(pair)
    except PictureRefusedError as refused:
        return _Packed(refusal=refused.refusal)
    hashes = counts_sha256(low), counts_sha256(high)
    prepared = preparation.prepared(hashes, lambda: Pair(rapid=low, standard=high))
    (placed,) = prepared.registered
    if np.hypot(placed.row_shift, placed.column_shift) > params.image_pairs.largest_shift_pixels:
        return _Packed(refusal=Refusal.MISREGISTERED)
    patient = _patient(pair)
    study = _pseudonym("S", f"{patient}\0{hashes[0]}\0{hashes[1]}")
    target = studies / f"{study}.npz"
    with whole_file(target) as written:
        written.write_bytes(prepared.packed)
    row = {
        "study": study,
        "patient": patient,
        "cohort": pair.cohort,
        "split": split_of(patient, params.split),
        "modality": PICTURE.name,
        "age_years": float("nan"),
        "scanner": SCANNER,
        "spacing_mm": 1.0,
        "rapid_velocity_mm_s": float("nan"),
        "standard_velocity_mm_s": float("nan"),
        "count_ratio": 1.0,
        "rapid_counts_sha256": hashes[0],
        "standard_counts_sha256": hashes[1],
        "file_sha256": sha256_file(target),
        "warnings": "",
    }
    # one place for all planes; the manifest's columns know of two views
    for view, (poor, good) in {"anterior": (int(low.sum()), int(high.sum())), "posterior": (0, 0)}.items():
        row |= {f"rapid_counts_{view}": poor, f"standard_counts_{view}": good}
        row |= {f"row_shift_{view}": placed.row_shift, f"column_shift_{view}": placed.column_shift}
        row |= {f"rotation_{view}": placed.rotation, f"residual_{view}": placed.residual}
    return _Packed(row, thumbnail(high))


def _pseudonym(kind: str, text: str) -> str:
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _left_out(cohort: Path, path: Path, refusal: Refusal) -> dict[str, str]:
    return {
        "cohort": cohort.name,
        "object": path.relative_to(cohort).as_posix(),
        "outcome": "unpaired" if refusal is Refusal.UNPAIRED else "quarantined",
        "code": refusal.name,
        "sentence": refusal.sentence,
        "remedy": refusal.remedy,
    }


def _most_frequent(left_out: list[dict[str, str]]) -> str:
    if not left_out:
        return "the folders are empty"
    code, files = Counter(entry["code"] for entry in left_out).most_common(1)[0]
    first = next(entry["object"] for entry in left_out if entry["code"] == code)
    return f"{files} files, the first of them {first}: {Refusal[code].sentence}"


def _numbers(rows: list[dict], left_out: list[dict[str, str]], sizes: dict[str, int]) -> dict[str, float]:
    numbers = {"pairs": float(len(rows)), "pictures_left_out": float(len(left_out))}
    for code, files in sorted(Counter(entry["code"] for entry in left_out).items()):
        numbers[f"reason_{code}"] = float(files)
    numbers |= {f"patients_{split}": float(size) for split, size in sizes.items()}
    shifts = [float(np.hypot(row["row_shift_anterior"], row["column_shift_anterior"])) for row in rows]
    return numbers | {"shift_pixels_median": float(np.median(shifts)), "shift_pixels_largest": max(shifts)}
