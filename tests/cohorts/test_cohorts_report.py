"""The cohort's pages: every pair is pictured, on as many pages as it takes, and each page fits the record."""

import hashlib
import io
import re
from datetime import datetime, timedelta

import numpy as np
import pytest
from dicom_samples import KEY, PROTOCOL, rapid_counts, save_child, standard_counts
from PIL import Image

from scintiflow.cohorts import report, storing
from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.ledger import Entry, Ledger, parse_ledger
from scintiflow.cohorts.pictures import BLACK_COUNTS, draw
from scintiflow.cohorts.report import PAIRS_PER_PAGE, is_page, pages_of, render_pages
from scintiflow.dicom.scan import BOTH_VIEWS, ScanSummary
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree

STANDARD_MM_S = PROTOCOL.standard_velocity_mm_s


def entry(child: int, rapid: bool) -> Entry:
    name = f"{child}-{rapid}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    scan = ScanSummary(
        patient=f"P-{child:016x}",
        study_uid=f"2.25.{child}",
        instance_uid=f"2.25.{child}.{int(rapid)}",
        acquired=(datetime(2020, 1, 1) + timedelta(minutes=20 * rapid)).isoformat(),
        duration_s=600.0,
        velocity_mm_s=STANDARD_MM_S * (1 + rapid),
        views=BOTH_VIEWS,
        shape=(2, 1024, 256),
        spacing_mm=2.26,
        counts_per_view=(1_000_000 // (1 + rapid),) * 2,
        counts_sha256=digest,
        age_years=9.0,
    )
    return Entry(sha256=digest, outcome="accepted", path=f"{name}.dcm", object_sha256=digest, scan=scan)


def ledger_of(pairs: int) -> Ledger:
    entries = tuple(entry(child, rapid) for child in range(pairs) for rapid in (False, True))
    return Ledger(
        name="ward", key_fingerprint="k", key_is_public=False, protocol=PROTOCOL.model_dump(), entries=entries
    )


@pytest.mark.parametrize("pairs", [0, 1, PAIRS_PER_PAGE, PAIRS_PER_PAGE + 1, 2 * PAIRS_PER_PAGE + 50])
def test_every_pair_is_pictured_and_no_page_grows_without_end(pairs, tmp_path):
    ledger, picture = ledger_of(pairs), tmp_path / "picture.jpg"
    picture.write_bytes(draw(standard_counts(), STANDARD_MM_S))
    rendered = dict(render_pages(ledger, {found.object_sha256: picture for found in ledger.entries}))
    assert len(rendered) == max(1, -(-pairs // PAIRS_PER_PAGE))
    assert next(iter(rendered)) == "cohort.html"
    patients = [found for text in rendered.values() for found in re.findall(r"<figcaption>(P-\w+)", text)]
    assert sorted(patients) == [f"P-{child:016x}" for child in range(pairs)]
    for name, text in rendered.items():
        assert is_page(name)
        assert text.count("<figure>") <= PAIRS_PER_PAGE
        assert text.count("data:image/jpeg;base64,") == text.count('loading="lazy"') == 2 * text.count("<figure>")
        assert "http" not in text.replace("http-equiv", "")
        if len(rendered) > 1:
            assert {*re.findall(r'href="(cohort[^"#]*)', text)} | {name} == {*rendered}
        else:
            assert "<nav>" not in text


def test_a_scan_without_a_picture_is_named(tmp_path):
    ((_, text),) = render_pages(ledger_of(1), {})
    assert "rapid scan: no picture" in text
    assert text.count("<figure>") == 1


@pytest.mark.parametrize("counts", [standard_counts(), rapid_counts(), standard_counts() * np.uint16(100)])
@pytest.mark.parametrize("cut", [0, 3])
def test_a_picture_shows_mean_counts_on_a_square_root_scale(counts, cut):
    counts = counts[:, : counts.shape[1] - cut, : counts.shape[2] - cut]
    velocity = 5.0
    with Image.open(io.BytesIO(draw(counts, velocity))) as picture:
        shown = np.asarray(picture).astype(float)
    rows, columns = counts.shape[1] // 4, counts.shape[2] // 4
    blocks = counts[:, : 4 * rows, : 4 * columns].astype(float).reshape(-1, rows, 4, columns, 4).mean(axis=(2, 4))
    black = BLACK_COUNTS * (20 / 6) / velocity
    expected = np.hstack(255 * (1 - np.sqrt(np.minimum(blocks / black, 1))))
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 6  # what compression costs


def add(export, cohorts):
    return add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=1)


def test_pages_come_and_go_with_the_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAIRS_PER_PAGE", 1)
    for seed in range(3):
        save_child(tmp_path / "export", seed)
    first = add(tmp_path / "export", tmp_path / "cohorts")
    names = ["cohort.html", "cohort-pairs-2.html", "cohort-pairs-3.html"]
    assert [page.name for page in pages_of(first.ledger)] == names
    assert sorted(path.name for path in first.folder.glob("*.html")) == sorted(names)
    whole = sha256_tree(first.folder)
    assert not add(tmp_path / "export", tmp_path / "cohorts").changed
    (first.folder / names[1]).unlink()
    assert add(tmp_path / "export", tmp_path / "cohorts").changed
    assert sha256_tree(first.folder) == whole  # pictures drawn from the cohort's objects are those of the delivery
    monkeypatch.setattr(report, "PAIRS_PER_PAGE", 2)
    assert add(tmp_path / "export", tmp_path / "cohorts").changed
    assert sorted(path.name for path in first.folder.glob("*.html")) == sorted(names[:2])


def test_a_page_that_tells_of_a_delivery_which_was_never_recorded_is_written_anew(tmp_path, monkeypatch):
    """The second delivery is killed between its page and its record, and never comes again."""
    save_child(tmp_path / "first", 0)
    save_child(tmp_path / "more", 1)
    folder = add(tmp_path / "first", tmp_path / "cohorts").folder
    whole = sha256_tree(folder)
    write = storing._write

    def killed(path, text):
        if path.name == "cohort.json":
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(storing, "_write", killed)
    with pytest.raises(ScintiflowError):
        add(tmp_path / "more", tmp_path / "cohorts")
    monkeypatch.undo()
    assert sha256_tree(folder) != whole
    assert add(tmp_path / "first", tmp_path / "cohorts").changed
    assert sha256_tree(folder) == whole


def test_the_record_has_a_line_for_each_file_and_reads_back(tmp_path):
    ledger = ledger_of(3)
    lines = [line for line in ledger.text.splitlines() if '"sha256"' in line]
    assert len(lines) == len(ledger.entries)
    assert parse_ledger(ledger.text.encode(), "here") == ledger
    assert parse_ledger(ledger_of(0).text.encode(), "here") == ledger_of(0)
