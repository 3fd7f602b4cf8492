"""Scans with flipped, cut, repeated and foreign bytes, drawn so that a number always gives the same file."""

import random
from functools import cache
from pathlib import Path

from dicom_samples import rapid_object, standard_object
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from scintiflow.dicom.whole_body import object_bytes

TELLING = (b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"SQ", b"UN", b"OB", b"\xfe\xff\xdd\xe0", b"\xfe\xff\x00\xe0")


@cache
def templates() -> tuple[bytes, ...]:
    """Explicit, implicit, deflated, RLE and JPEG lossless scans."""
    implicit, deflated, packed = standard_object(1), rapid_object(2), standard_object(3)
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    packed.compress(RLELossless, generate_instance_uid=False)
    real = Path(get_testdata_file("JPEG-LL.dcm")).read_bytes()
    made = (rapid_object(0), implicit, deflated, packed)
    return (*(object_bytes(dataset) for dataset in made), real)


def mutated(number: int) -> bytes:
    """File `number`: one to twelve injuries, most of them in the header, where they hurt."""
    draw = random.Random(number)
    content = bytearray(templates()[number % len(templates())])
    for _ in range(draw.randint(1, 12)):
        end = min(len(content), 4000) if draw.random() < 0.85 else len(content)
        at = draw.randrange(132, max(end, 133)) if len(content) > 133 else 0
        injury = draw.randrange(5)
        if injury == 0:
            content[at] ^= 1 << draw.randrange(8)
        elif injury == 1:
            content[at] = draw.randrange(256)
        elif injury == 2:
            foreign = draw.choice(TELLING)
            content[at : at + len(foreign)] = foreign
        elif injury == 3:
            del content[at : at + draw.randint(1, 40)]
        else:
            content[at:at] = content[at : at + draw.randint(1, 40)]
        if draw.random() < 0.02:
            del content[at + 1 :]
    return bytes(content)
