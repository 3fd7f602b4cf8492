"""Which side of the patient lies at the left and at the right edge of a view: a reader must not have to guess."""

from collections.abc import Sequence

from scintiflow.dicom.codes import VIEW_ORIENTATION

SMALLEST_COSINE = 0.9  # of the rows with the patient's left; less is no anterior or posterior view
UNKNOWN = ("", "")


def sides(orientation: Sequence[float]) -> tuple[str, str]:
    """Letters for the left and the right edge, from Image Orientation (Patient) (PS3.3 C.7.6.2.1.1).

    The first cosine says how far the columns run to the patient's left. `UNKNOWN` where it does not say.
    """
    if len(orientation) != 6 or abs(orientation[0]) < SMALLEST_COSINE:
        return UNKNOWN
    return ("R", "L") if orientation[0] > 0 else ("L", "R")


def sides_of_view(view: str) -> tuple[str, str]:
    """Of a view as the camera sees it, head up; `UNKNOWN` for a name that is neither anterior nor posterior."""
    return sides(VIEW_ORIENTATION.get(view, ()))
