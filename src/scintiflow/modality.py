"""What the arrays of a study show: two views of a child in counts, or the colours of a picture in levels.

Every study is `[plane, row, column]`, every mask `[structure, plane, row, column]` with as many structures. All that
the stages must know apart from that stands here; whoever needs to tell one source from the other asks a `Modality`
(docs/decisions/0010).
"""

from dataclasses import dataclass

from scintiflow.structures import STRUCTURES

LEVELS = 255.0  # brightest level of a picture of 8 bits


@dataclass(frozen=True)
class Modality:
    """One kind of study.

    Attributes:
        name: as manifest.parquet and cascade.json write it.
        is_counted: pixels are Poisson counts. They may be thinned, their noise is known and may be corrected for,
            and what bones and lesions do can be asked. Of other pixels none of this is true.
        structures: names of the masks; the first is where everything is scored.
        panes: pictures that Segment Anything sees side by side: each view by itself, colours as one.
    """

    name: str
    is_counted: bool
    structures: tuple[str, ...]
    panes: int


BONE_SCAN = Modality("bone_scan", True, STRUCTURES, 2)
PICTURE = Modality("picture", False, ("frame", "darkest", "dark", "bright", "brightest"), 1)
MODALITIES = {modality.name: modality for modality in (BONE_SCAN, PICTURE)}
