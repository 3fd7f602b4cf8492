"""The opposite view: the same skeleton, seen a second time from the other side.

Both heads of the camera see a child at once, so a row of the posterior view shows the same height as that row of
the anterior view, and columns are mirrored: column c of one view lies opposite column m - c of the other. The
whole number m is measured for each scan, since heads may be set off against each other: it is where the
smoothed square-root images of both views, one of them mirrored, correlate best over columns, that is, where
the bodies lie over each other (our design; for ideal heads m = columns - 1). Counts are moved by whole pixels
and never resampled.

An opposite view is kept as `[2, row, column]` in the frame of the view it accompanies: its counts, and 1 where
it was measured. A scan of one view has no opposite: zeros in both.
"""

import numpy as np
from scipy import fft, ndimage

SMOOTHING_PIXELS = 2.5


def mirror_sum(counts: np.ndarray) -> int:
    """m for counts `[view, row, column]`; that of ideal heads if a view is empty or there are not two of them."""
    columns = counts.shape[2]
    if len(counts) != 2 or not counts[0].any() or not counts[1].any():
        return columns - 1
    roots = np.sqrt(ndimage.gaussian_filter(counts.astype(np.float32), (0, SMOOTHING_PIXELS, SMOOTHING_PIXELS)))
    spectra = fft.rfft(roots, 2 * columns, axis=2)  # padded: the product is a convolution, not a circular one
    agreement = fft.irfft((spectra[0] * spectra[1]).sum(0), 2 * columns)
    return int(np.argmax(agreement[: 2 * columns - 1]))


def opposite_window(counts: np.ndarray, view: int, mirror: int, rows: slice, columns: slice) -> np.ndarray:
    """The opposite of a window of `view`, `[2, row, column]`, type of the counts `[view, row, column]`.

    `rows` and `columns` have a start and a stop inside the scan; `mirror` is `mirror_sum`.
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start
    window = np.zeros((2, height, width), counts.dtype)
    if len(counts) == 2:
        places = mirror - np.arange(columns.start, columns.stop)
        seen = (places >= 0) & (places < counts.shape[2])
        window[0][:, seen] = counts[1 - view, rows][:, places[seen]]
        window[1][:, seen] = 1
    return window


def opposite_views(counts: np.ndarray) -> np.ndarray:
    """The opposite of every view of a scan `[view, row, column]`: `[view, 2, row, column]`."""
    rows, columns = (slice(0, length) for length in counts.shape[1:])
    mirror = mirror_sum(counts)
    return np.stack([opposite_window(counts, view, mirror, rows, columns) for view in range(len(counts))])
