"""Every way in which a file can miss the data set: code, outcome, sentence for the data team, remedy.

One place: a new case is a new member of `Reason`. Sentences are fixed texts, so that no identity can
reach a log or a report through them. Warnings (`Notice`) never change an outcome.
"""

from enum import Enum, StrEnum


class Outcome(StrEnum):
    ACCEPTED = "accepted"  # one half of a pair
    UNPAIRED = "unpaired"  # kept, waiting for its partner
    QUARANTINED = "quarantined"  # set aside, with a reason and a remedy
    IGNORED = "ignored"  # not a scan, nothing to mend


_EXPORT = "Export the original object again from the archive or the workstation"
_ASK = "Ask the department for the right value and correct it in the archive"


class Reason(Enum):
    """`Reason.CODE.value` is (outcome, sentence, remedy); `Reason.CODE.name` is the code."""

    # --- the file -----------------------------------------------------------------------------
    NOT_DICOM = (Outcome.IGNORED, "The file is not a DICOM file", "Nothing to do, unless it should be a scan")
    NO_PREAMBLE = (Outcome.QUARANTINED, "The DICOM preamble and the mark DICM are missing", _EXPORT)
    TRUNCATED = (Outcome.QUARANTINED, "The file ends before its data do", "Copy or export the file again")
    CORRUPT = (Outcome.QUARANTINED, "The file cannot be parsed or decoded", _EXPORT)
    LIMIT_EXCEEDED = (
        Outcome.QUARANTINED,
        "A length, a matrix or a nesting in the file is beyond what a whole-body scan can have",
        _EXPORT,
    )
    TOO_SLOW = (
        Outcome.QUARANTINED,
        "Reading the file took more than five seconds of work and was stopped",
        _EXPORT,
    )
    UNREADABLE = (Outcome.QUARANTINED, "The file cannot be opened", "Give read permission and add the export again")
    CHANGED = (Outcome.QUARANTINED, "The file changed while it was read", "Wait for the export to end, add it again")
    ARCHIVE = (Outcome.QUARANTINED, "The file is an archive", "Unpack it beside the other files and add them again")
    SYMLINK = (Outcome.IGNORED, "The entry is a symbolic link", "Copy the file itself into the export")
    SPECIAL_FILE = (Outcome.IGNORED, "The entry is a pipe, a socket or a device", "Remove it from the export")
    DICOMDIR = (Outcome.IGNORED, "The file is a DICOMDIR, an index of other files", "Nothing to do")
    DUPLICATE = (Outcome.IGNORED, "The same object is in the export more than once", "Nothing to do")
    MENDED = (Outcome.IGNORED, "A mended version of the file was readmitted", "Nothing to do")
    DUPLICATE_PIXELS = (Outcome.IGNORED, "The same counts are there under another UID", "Nothing to do")
    WITHDRAWN = (Outcome.IGNORED, "The patient's data were withdrawn", "Leave the patient out of later exports")

    # --- the object ---------------------------------------------------------------------------
    NO_TRANSFER_SYNTAX = (Outcome.QUARANTINED, "The file names no transfer syntax", _EXPORT)
    UNSUPPORTED_TRANSFER_SYNTAX = (
        Outcome.QUARANTINED,
        "The transfer syntax cannot be decoded",
        "Export the object uncompressed (Explicit VR Little Endian)",
    )
    WRONG_MODALITY = (Outcome.QUARANTINED, "The object is not nuclear medicine (NM)", "Leave it out of the export")
    WRONG_IMAGE_TYPE = (
        Outcome.QUARANTINED,
        "The image is not a whole-body emission image",
        "Leave it out of the export, or export the whole-body acquisition",
    )
    DERIVED_INPUT = (
        Outcome.QUARANTINED,
        "The image is derived and its counts are not shown to be the acquired ones",
        "Export the original acquisition, not a processed copy",
    )
    LOSSY = (
        Outcome.QUARANTINED,
        "The image was compressed with loss, so its counts are no longer counts",
        "Export the original without lossy compression",
    )
    BURNED_IN = (Outcome.QUARANTINED, "The image says that text is burned into its pixels", _EXPORT)
    RESCALE_PRESENT = (
        Outcome.QUARANTINED,
        "The pixel values are rescaled, so they are not counts",
        "Export the raw acquisition without a rescale slope or a real-world mapping",
    )
    NO_PIXEL_DATA = (Outcome.QUARANTINED, "The object has no pixel data", _EXPORT)
    PIXEL_FORMAT = (
        Outcome.QUARANTINED,
        "The pixel format is not one grey channel of 8 or 16 bits",
        "Export the raw acquisition, not a screen capture",
    )
    FRAME_COUNT = (Outcome.QUARANTINED, "The number of frames is not that of one or two views", _EXPORT)
    FRAME_VECTOR = (Outcome.QUARANTINED, "The frames cannot be told apart by energy window and detector", _EXPORT)
    VIEW_UNKNOWN = (
        Outcome.QUARANTINED,
        "Nothing in the object says which view is anterior and which posterior",
        "Fill in the view code on the workstation and export again",
    )
    VIEW_CONFLICT = (
        Outcome.QUARANTINED,
        "What the object says about its views contradicts itself",
        "Correct the view codes on the workstation and export again",
    )
    NEGATIVE_COUNTS = (Outcome.QUARANTINED, "The image has negative values", "Export the raw acquisition")
    SATURATED = (
        Outcome.QUARANTINED,
        "Pixels stand at the largest value that can be stored, so counts are lost",
        "Export the acquisition with 16 bits",
    )
    EMPTY_IMAGE = (Outcome.QUARANTINED, "A view has no counts at all", _EXPORT)
    LOW_COUNTS = (
        Outcome.QUARANTINED,
        "A view has fewer counts than the protocol allows (smallest_counts_per_view)",
        "Check the injection and the acquisition; leave the study out if it failed",
    )
    INCOMPLETE_SCAN = (
        Outcome.QUARANTINED,
        "One of the two views is missing",
        "Export both views, in one object or as two files of one export",
    )
    MATRIX = (Outcome.QUARANTINED, "The matrix is not that of a whole-body scan", _EXPORT)
    GEOMETRY = (Outcome.QUARANTINED, "The pixel spacing is missing, not square or implausible", _ASK)
    WRONG_RADIONUCLIDE = (Outcome.QUARANTINED, "The radionuclide is not technetium-99m", "Leave it out of the export")
    VELOCITY_UNKNOWN = (
        Outcome.QUARANTINED,
        "The scan velocity is neither given nor to be inferred from scan length and duration",
        "Fill in the scan velocity (0018,1300) in mm/s and export again",
    )
    VELOCITY_INVALID = (Outcome.QUARANTINED, "The scan velocity is not a plausible number", _ASK)
    VELOCITY_UNITS = (
        Outcome.QUARANTINED,
        "The scan velocity looks like cm/min; DICOM wants mm/s",
        "Divide the value by six, or empty it and give scan length and duration",
    )
    VELOCITY_CONFLICT = (
        Outcome.QUARANTINED,
        "The scan velocity contradicts scan length divided by duration",
        "Find out at which velocity the table moved and correct the header",
    )
    VELOCITY_STATED_OTHERWISE = (
        Outcome.QUARANTINED,
        "The header gives another velocity than the one stated when the scan was to be restored",
        "State a velocity for scans that give none, and for no others; a wrong header is corrected in the archive",
    )
    UID_INVALID = (Outcome.QUARANTINED, "A UID is missing or malformed", _EXPORT)
    UID_MISMATCH = (Outcome.QUARANTINED, "File header and object name different UIDs", _EXPORT)
    UID_COLLISION = (
        Outcome.QUARANTINED,
        "Two files have the same object UID and different content",
        "Find out which one is genuine and remove the other",
    )
    NO_PATIENT_ID = (Outcome.QUARANTINED, "The object has no patient ID", _ASK)
    PATIENT_CONFLICT = (
        Outcome.QUARANTINED,
        "Objects with one patient ID disagree on birth date or sex",
        "Find out whether two patients share the ID, correct it and add the export again",
    )
    AGE_OUT_OF_RANGE = (
        Outcome.QUARANTINED,
        "The patient's age is outside the protocol",
        "Leave it out of the export",
    )
    DATE_INVALID = (Outcome.QUARANTINED, "The object has no valid date and time of acquisition", _ASK)
    DEIDENTIFICATION_FAILED = (
        Outcome.QUARANTINED,
        "The object could not be de-identified with certainty",
        "Report the SHA-256 to the maintainers; do not pass the file on",
    )
    NOT_DEIDENTIFIED = (
        Outcome.QUARANTINED,
        "The object does not say that patient identity was removed",
        "Add it through `scintiflow cohort add`, never by copying it into a cohort",
    )

    # --- the pair -----------------------------------------------------------------------------
    AMBIGUOUS_PAIR = (
        Outcome.QUARANTINED,
        "Several standard or several rapid scans could belong together",
        "Leave only the two scans of the pair in the export",
    )
    PAIR_MISMATCH = (Outcome.QUARANTINED, "The two scans differ in matrix or pixel spacing", _EXPORT)
    PAIR_IDENTICAL = (Outcome.QUARANTINED, "The two scans have the same counts", "Export both acquisitions")
    PAIR_COUNTS_RATIO = (
        Outcome.QUARANTINED,
        "The count ratio of the two scans does not fit their velocities and times",
        "Check which scan was made at which velocity and whether one was interrupted",
    )
    PAIR_MISREGISTERED = (
        Outcome.QUARANTINED,
        "The two scans lie farther apart than largest_shift_mm",
        "Look at the pair; raise largest_shift_mm if the child only moved",
    )
    NO_RAPID = (Outcome.UNPAIRED, "The rapid scan of this patient is missing", "Export it too")
    NO_STANDARD = (Outcome.UNPAIRED, "The standard scan of this patient is missing", "Export it too")
    PAIR_TOO_FAR = (
        Outcome.UNPAIRED,
        "The partner was scanned too long before or after (pair_within_hours)",
        "Export the partner of the same day",
    )
    VELOCITY_OUT_OF_PROTOCOL = (
        Outcome.UNPAIRED,
        "The scan was made at a velocity that is neither the standard nor the rapid one",
        "Nothing to do; it can serve as an unpaired real scan",
    )

    @property
    def may_be_overruled(self) -> bool:
        """True where a person may know better than the header; never for identity, damage or lost counts."""
        return self in OVERRULABLE

    @property
    def outcome(self) -> Outcome:
        return self.value[0]

    @property
    def sentence(self) -> str:
        return self.value[1]

    @property
    def remedy(self) -> str:
        return self.value[2]


OVERRULABLE = frozenset(
    {
        Reason.DERIVED_INPUT,  # the department vouches that the copy is lossless; some vendors give no count sum
        Reason.VELOCITY_CONFLICT,  # the department vouches for the velocity against length and duration
        Reason.AGE_OUT_OF_RANGE,
        Reason.LOW_COUNTS,
        Reason.AMBIGUOUS_PAIR,  # a person says which scans belong together
        Reason.PAIR_COUNTS_RATIO,
    }
)


class Notice(StrEnum):
    """Warnings: the scan is used as it is, and the manifest says so."""

    SOPCLASS_SC = "NM content under the Secondary Capture class"
    DERIVED_LOSSLESS = "says DERIVED, but the counts are the acquired ones"
    VIEW_INFERRED = "views taken from names or angles, not from view codes"
    VIEW_UNKNOWN = "no view known"
    VIEW_ANGLE = "start angles contradict the view codes, which are believed"
    ORIENTATION_CHANGED = "rows or columns turned so that row 0 is the head end as the camera sees it"
    VELOCITY_INFERRED = "velocity from scan length and duration"
    VELOCITY_STATED = "the header gives no velocity; a person stated one when the scan was restored"
    EXTRA_ENERGY_WINDOW = "frames outside the 140 keV window left out"
    COUNTS_MISMATCH = "CountsAccumulated is not the sum of the pixels"
    AGE_UNKNOWN = "age unknown"
    DATE_FORMAT = "a date in an outdated or invalid format"
    CHARSET = "unknown character set"
    VIEWS_JOINED = "anterior and posterior view came in two files and were joined"
    OVERRULED = "a named person overruled a check; see overrides in cohort.json"
    PAIR_REGISTRATION = "the two scans are unusually far shifted or rotated against each other"
    PAIR_CROSS_STUDY = "the two scans are in different studies"


class Rejection(Exception):  # noqa: N818 - a file is rejected, the program is in order
    """A file that is not used. `detail` holds numbers and attribute names only, never a text from the file."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason.name}: {reason.sentence}{f' ({detail})' if detail else ''}")

    @property
    def code(self) -> str:
        return self.reason.name

    def __reduce__(self):
        return Rejection, (self.reason, self.detail)
