"""Generated pairs of pictures: soft coloured blobs with highlights, and what too little light makes of them."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

ROWS, COLUMNS = 72, 96
DARKENED_TO = 0.35
NOISE_LEVELS = 6.0


def good_picture(seed: int, planes: int = 3) -> np.ndarray:
    """uint8 `[row, column, plane]`; another seed is another scene."""
    draw = np.random.default_rng([seed, 1])
    ground = draw.uniform(70, 150, planes)
    blobs = np.stack([gaussian_filter(draw.normal(size=(ROWS, COLUMNS)), 9) for _ in range(planes)], axis=-1)
    picture = ground + 45 * blobs / blobs.std()
    highlights = gaussian_filter((draw.random((ROWS, COLUMNS)) > 0.996).astype(float), 1.5)
    return np.clip(picture + 900 * highlights[..., None], 0, 255).astype(np.uint8)


def poor_picture(good: np.ndarray, seed: int) -> np.ndarray:
    """The same scene, dark and noisy."""
    noise = np.random.default_rng([seed, 2]).normal(0, NOISE_LEVELS, good.shape)
    return np.clip(DARKENED_TO * good + noise, 0, 255).astype(np.uint8)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def write_delivery(cohort: Path, patients: int, frames: int, planes: int = 3, first: int = 0) -> None:
    """`frames` pairs of each patient under `low/` and `high/`, named p00_0.png and so on."""
    for patient in range(first, first + patients):
        for frame in range(frames):
            seed = 100 * patient + frame
            good = good_picture(seed, planes)
            write_picture(cohort / "high" / f"p{patient:02d}_{frame}.png", good)
            write_picture(cohort / "low" / f"p{patient:02d}_{frame}.png", poor_picture(good, seed))
