"""Coded concepts that NM whole-body objects use (PS3.16), and the older spellings of the same."""

from typing import NamedTuple


class Code(NamedTuple):
    """Value, coding scheme and meaning of a code sequence item (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


VIEW_CODES = {  # CID 26, Nuclear Medicine Projections
    "anterior": Code("399321004", "SCT", "Anterior projection"),
    "posterior": Code("399001007", "SCT", "Posterior projection"),
}
VIEW_CODE_VALUES = {  # every value by which the two views are known: SNOMED CT and the retired SRT
    "399321004": "anterior",
    "G-5215": "anterior",
    "399001007": "posterior",
    "G-5216": "posterior",
}

TECHNETIUM_99M = Code("72454006", "SCT", "^99m^Technetium")  # CID 18
TECHNETIUM_99M_VALUES = frozenset({"72454006", "C-163A8"})
MEDRONATE = Code("96390006", "SCT", "Technetium Tc^99m^ medronate")  # CID 25
INTRAVENOUS = Code("47625008", "SCT", "Intravenous route")  # CID 11

RECUMBENT = Code("102538003", "SCT", "recumbent")  # CID 19
SUPINE = Code("40199007", "SCT", "supine")  # CID 20
HEADFIRST = Code("102540008", "SCT", "headfirst")  # CID 21
FEETFIRST = Code("102541007", "SCT", "feet-first")

COUNTS_UNIT = Code("{counts}", "UCUM", "counts")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202
RESTORATION = Code("RESTORATION", "99SCINTIFLOW", "Restoration by a trained network")  # no standard code says this
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005
DEIDENTIFYING_EQUIPMENT = Code("109104", "DCM", "De-identifying Equipment")

DEIDENTIFICATION_METHODS = (  # CID 7050
    Code("113100", "DCM", "Basic Application Confidentiality Profile"),
    Code("113105", "DCM", "Clean Descriptors Option"),
    Code("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Code("113108", "DCM", "Retain Patient Characteristics Option"),
)

# Image Orientation (Patient), PS3.3 C.7.6.2.1.1, of a view as the camera sees it with the head in row 0:
# columns run to the patient's left in the anterior view, to the right in the posterior view; rows run to the feet.
VIEW_ORIENTATION = {
    "anterior": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "posterior": (-1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
}
