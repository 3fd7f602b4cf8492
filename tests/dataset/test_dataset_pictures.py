"""Deliveries of paired pictures: what is taken, what is refused and why, and who trains."""

import json

import numpy as np
import pandas as pd
import pytest
from picture_pairs import COLUMNS, ROWS, good_picture, poor_picture, write_delivery, write_picture
from PIL import Image

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.picture_copies import copies_of_held_out, thumbnail
from scintiflow.dataset.picture_files import PictureRefusedError, list_delivery, read_picture, save_picture
from scintiflow.dataset.picture_packing import pack_pictures
from scintiflow.dataset.split import split_of
from scintiflow.errors import ScintiflowError
from scintiflow.params import IngestParams

PROTOCOL = {
    "standard_velocity_mm_s": 3.333,
    "rapid_velocity_mm_s": 6.667,
    "velocity_tolerance": 0.1,
    "youngest_years": 0.0,
    "oldest_years": 18.0,
    "pair_within_hours": 6.0,
    "smallest_counts_per_view": 1,
}


def params(**split: object) -> IngestParams:
    sizes = {"smallest_train": 1, "smallest_validation": 1, "smallest_test": 1}
    return IngestParams.model_validate(
        {
            "source": "image_pairs",
            "cohorts": ["generated"],
            "protocol": PROTOCOL,
            "split": {"seed": 1, "train": 0.5, "validation": 0.25, **sizes, **split},
            "largest_shift_mm": 60.0,
        }
    )


def reasons(dataset) -> dict[str, str]:
    return {entry["object"]: entry["code"] for entry in json.loads((dataset / "quarantine.json").read_text())}


def patients_by_split(count: int) -> dict[str, list[int]]:
    """Numbers of generated patients by the split that packing will give them."""
    found: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for number in range(count):
        found[split_of(pseudonym(f"p{number:02d}"), params().split)].append(number)
    return found


def pseudonym(patient: str) -> str:
    import hashlib

    return "P-" + hashlib.sha256(f"scintiflow/picture-patient\0{patient}".encode()).hexdigest()[:16]


@pytest.mark.parametrize("planes", [1, 3])
def test_levels_come_out_as_they_went_in(tmp_path, planes):
    write_delivery(tmp_path / "generated", patients=10, frames=1, planes=planes)
    report = pack_pictures([tmp_path / "generated"], params(), tmp_path / "dataset")
    dataset = Dataset.open(tmp_path / "dataset")
    assert report.numbers["pairs"] == 10
    assert reasons(tmp_path / "dataset") == {}
    expected = {good_picture(100 * number, planes).tobytes() for number in range(10)}
    found = set()
    for _, row in dataset.table.iterrows():
        pair = dataset.pair(row["study"])
        assert pair.standard.shape == (planes, ROWS, COLUMNS)
        assert pair.rapid.mean() < pair.standard.mean()
        found.add(np.moveaxis(pair.standard, 0, 2).astype(np.uint8).tobytes())
    assert found == expected
    assert set(dataset.table["modality"]) == {"picture"}
    assert set(dataset.table["count_ratio"]) == {1.0}


def test_names_of_patients_do_not_enter_the_data_set(tmp_path):
    write_delivery(tmp_path / "generated", patients=10, frames=1)
    pack_pictures([tmp_path / "generated"], params(), tmp_path / "dataset")
    assert not any(b"p03" in path.read_bytes() for path in (tmp_path / "dataset").rglob("*.parquet"))


def test_equal_deliveries_give_equal_bytes_with_any_number_of_processes(tmp_path):
    write_delivery(tmp_path / "generated", patients=10, frames=1)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, workers in zip(folders, (1, 2), strict=True):
        pack_pictures([tmp_path / "generated"], params(), folder, workers=workers)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert first == second


def broken(path):
    path.write_bytes(good_picture(1).tobytes())


def truncated(path):
    write_picture(path, good_picture(1))
    path.write_bytes(path.read_bytes()[:-400])


def sixteen_bits(path):
    Image.fromarray(good_picture(1)[..., 0].astype(np.uint16) * 257).save(path)


def sixteen_bit_colour(path):
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(40 * 6) for _ in range(40)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def with_alpha(path):
    Image.fromarray(good_picture(1)).convert("RGBA").save(path)


def with_palette(path):
    Image.fromarray(good_picture(1)).quantize(16).save(path)


def animated(path):
    frames = [Image.fromarray(good_picture(seed)) for seed in (1, 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def for_print(path):
    Image.fromarray(good_picture(1)).convert("CMYK").save(path, format="TIFF")


def tiny(path):
    write_picture(path, good_picture(1)[:20])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (broken, "UNREADABLE"),
        (truncated, "UNREADABLE"),
        (sixteen_bits, "DEEPER_THAN_8_BITS"),
        (sixteen_bit_colour, "DEEPER_THAN_8_BITS"),
        (with_alpha, "TRANSPARENT"),
        (with_palette, "NEITHER_GREY_NOR_RGB"),
        (animated, "SEVERAL_FRAMES"),
        (for_print, "CMYK"),
        (tiny, "TOO_SMALL"),
    ],
)
def test_only_still_opaque_pictures_of_8_bits_are_read(tmp_path, make, code):
    path = tmp_path / "picture.png"
    make(path)
    with pytest.raises(PictureRefusedError, match=code):
        read_picture(path)


def test_a_turn_in_the_metadata_is_carried_out(tmp_path):
    pixels = good_picture(3)
    turned = Image.fromarray(np.rot90(pixels).copy())
    tags = turned.getexif()
    tags[0x0112] = 6  # shown by a quarter turn clockwise
    turned.save(tmp_path / "turned.png", exif=tags)
    np.testing.assert_array_equal(np.moveaxis(read_picture(tmp_path / "turned.png"), 0, 2), pixels)


@pytest.mark.parametrize("planes", [1, 3])
def test_a_written_picture_reads_back(tmp_path, planes):
    levels = np.moveaxis(good_picture(4, planes), 2, 0)
    save_picture(tmp_path / "out.png", levels + np.float32(0.2))
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png"), levels)


def test_every_file_left_out_is_named_with_its_reason(tmp_path):
    cohort = tmp_path / "generated"
    write_delivery(cohort, patients=10, frames=1)
    good = good_picture(7)
    write_picture(cohort / "low" / "p00_alone.png", poor_picture(good, 7))
    write_picture(cohort / "high" / "p00_lonely.png", good)
    for name, low, high in (
        ("p00_size", good[:60], good),
        ("p00_colour", good[..., :1], good),
        ("nobody", good, good),
        ("p00_far", np.roll(good, 30, axis=1), good),
    ):
        write_picture(cohort / "low" / f"{name}.png", low)
        write_picture(cohort / "high" / f"{name}.png", high)
    for suffix in ("png", "bmp"):
        write_picture(cohort / "low" / f"p00_twice.{suffix}", good)
    (cohort / "low" / "notes.txt").write_text("not a picture")
    pack_pictures([cohort], params(), tmp_path / "dataset")
    assert reasons(tmp_path / "dataset") == {
        "low/p00_alone.png": "UNPAIRED",
        "high/p00_lonely.png": "UNPAIRED",
        "low/p00_size.png": "SIZES_DIFFER",
        "high/p00_size.png": "SIZES_DIFFER",
        "low/p00_colour.png": "COLOURS_DIFFER",
        "high/p00_colour.png": "COLOURS_DIFFER",
        "low/nobody.png": "NO_PATIENT",
        "high/nobody.png": "NO_PATIENT",
        "low/p00_far.png": "MISREGISTERED",
        "high/p00_far.png": "MISREGISTERED",
        "low/p00_twice.png": "NAME_TWICE",
        "low/p00_twice.bmp": "NAME_TWICE",
        "low/notes.txt": "NOT_A_PICTURE",
    }
    assert len(Dataset.open(tmp_path / "dataset").table) == 10


def test_a_list_or_a_folder_says_whose_picture_it_is(tmp_path):
    listed, in_folders = tmp_path / "listed", tmp_path / "folders"
    for name in ("a", "b"):
        write_picture(listed / "low" / f"{name}.png", good_picture(1))
        write_picture(listed / "high" / f"{name}.png", good_picture(1))
    (listed / "patients.csv").write_text("picture,patient\na.png,mary\nb,mary\n")
    write_picture(in_folders / "low" / "seq1" / "1_x.png", good_picture(1))
    write_picture(in_folders / "high" / "seq1" / "1_x.png", good_picture(1))
    assert [pair.patient for pair in list_delivery(listed).pairs] == ["mary", "mary"]
    assert [pair.patient for pair in list_delivery(in_folders).pairs] == ["seq1"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "", "picture,patient\na,x\na.png,y\n"])
def test_a_list_that_cannot_be_understood_is_refused(tmp_path, text):
    write_delivery(tmp_path, patients=1, frames=1)
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(ScintiflowError, match=r"patients\.csv"):
        list_delivery(tmp_path)


def test_a_copy_of_a_held_out_picture_does_not_train(tmp_path):
    """The same scene, brighter and saved with losses, under the name of a patient who trains."""
    cohort = tmp_path / "generated"
    write_delivery(cohort, patients=12, frames=1)
    by_split = patients_by_split(12)
    trains, tests = by_split["train"][0], by_split["test"][0]
    seen = good_picture(100 * tests)
    brighter = np.clip(seen * 1.05, 0, 255).astype(np.uint8)
    name = f"p{trains:02d}_copy"
    (cohort / "high" / f"{name}.jpg").parent.mkdir(exist_ok=True)
    Image.fromarray(brighter).save(cohort / "high" / f"{name}.jpg", quality=80)
    write_picture(cohort / "low" / f"{name}.png", poor_picture(brighter, 5))
    pack_pictures([cohort], params(), tmp_path / "dataset")
    assert reasons(tmp_path / "dataset") == {
        f"low/{name}.png": "COPY_OF_HELD_OUT",
        f"high/{name}.jpg": "COPY_OF_HELD_OUT",
    }
    table = Dataset.open(tmp_path / "dataset").table
    assert len(table) == 12
    studies = {path.stem for path in (tmp_path / "dataset" / "studies").iterdir()}
    assert studies == set(table["study"])


def test_of_two_copies_the_held_out_one_stays_and_equal_splits_do_not_matter():
    small = np.stack([thumbnail(np.moveaxis(good_picture(seed), 2, 0)) for seed in (1, 1, 1, 2, 2)])
    assert copies_of_held_out(small, ["test", "validation", "train", "train", "train"], 0.995) == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_more_patients_move_nobody(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    write_delivery(before, patients=10, frames=1)
    write_delivery(after, patients=12, frames=1)
    splits = []
    for cohort in (before, after):
        pack_pictures([cohort], params(), cohort / "dataset")
        splits.append(Dataset.open(cohort / "dataset").table.set_index("patient")["split"])
    pd.testing.assert_series_equal(splits[0], splits[1][splits[0].index])


def test_a_delivery_without_a_usable_pair_is_one_sentence(tmp_path):
    (tmp_path / "generated" / "low").mkdir(parents=True)
    with pytest.raises(ScintiflowError, match="has no folder 'high'"):
        pack_pictures([tmp_path / "generated"], params(), tmp_path / "dataset")
    write_picture(tmp_path / "generated" / "high" / "p1_a.png", good_picture(1))
    with pytest.raises(ScintiflowError, match=r"no pair of pictures could be used .*high/p1_a\.png"):
        pack_pictures([tmp_path / "generated"], params(), tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()
