"""Stage restore_real: the registered model, loaded from MLflow by alias, on real scans; the run's final report.

A real scan that was acquired slowly is thinned binomially to a rapid one, restored, written as a derived
NM object and scored against the counts that were held out. A model that cannot be loaded back from the
registry fails here, not at its first user.

The folder `restored` holds `report.html` (the evaluation's page with the gate's verdict and the real
scans), and for each real scan `scan-<n>.dcm`, `scan-<n>.png` and `scan-<n>.csv`. From a delivery of pictures it
restores the poor ones that have no good partner, under the names they came with, as 8-bit PNG in
`pictures/<cohort>/`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from scintiflow.cohorts.ledger import read_ledger
from scintiflow.cohorts.withdrawals import withdrawn_patients, without_withdrawn
from scintiflow.dataset.picture_files import (
    LOW,
    PictureRefusedError,
    is_picture_delivery,
    list_delivery,
    read_picture,
    save_picture,
)
from scintiflow.dicom.derived import ModelIdentity, restored_object
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Outcome
from scintiflow.dicom.scan import Scan
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import AnscombeBm3d, Gaussian, Identity, Restorer
from scintiflow.evaluation.pictures import draw_real_scan
from scintiflow.evaluation.real_scan import RealScan, score_real_scan
from scintiflow.evaluation.report import RealScanSection, ReportPicture, content_of_evaluation, render_report
from scintiflow.evaluation.summary import RESTORED
from scintiflow.evaluation_folder import REPORT, SUMMARY
from scintiflow.files import read_json, whole_folder
from scintiflow.modality import BONE_SCAN, PICTURE
from scintiflow.params import RestoreRealParams
from scintiflow.progress import track
from scintiflow.registry.models import REGISTRATION, RegisteredModel, load_registered
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    cohorts: Path
    evaluation: Path
    registration: Path


@dataclass(frozen=True)
class Outputs:
    restored: Path


def run(params: RestoreRealParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Restore every kept single scan or picture of `params.cohorts` with the registered model, render the report.

    Returns, for each real scan and method, the noise-corrected PSNR (dB), the PSNR against held-out
    counts (dB) and the count bias. Raises ScintiflowError if a named cohort has no such scan.
    """
    registration = read_json(inputs.registration / REGISTRATION)
    restore, model = load_registered(registration["name"], registration["version"], registration["alias"])
    identity = ModelIdentity(model.name, model.version, model.checkpoint_sha256)
    summary = read_json(inputs.evaluation / SUMMARY)
    restorers: dict[str, Restorer] = {
        RESTORED: restore,
        "identity": Identity(),
        "gaussian": Gaussian(summary["about"]["gaussian_sigma_pixels"]),
    }
    if "bm3d" in summary["methods"]:
        restorers["bm3d"] = AnscombeBm3d()

    numbers: dict[str, float] = {}
    deliveries = [inputs.cohorts / name for name in params.cohorts]
    with whole_folder(outputs.restored) as folder:
        sections = []
        of_pictures = [delivery for delivery in deliveries if is_picture_delivery(delivery)]
        pictures = _restore_pictures(of_pictures, restore, model, folder)
        scans = _real_scans(inputs.cohorts, [delivery for delivery in deliveries if delivery not in of_pictures])
        if scans and model.modality != BONE_SCAN.name:
            raise ScintiflowError(
                "names real scans, but the model restores pictures",
                where="restore_real.cohorts",
                remedy="Name deliveries of pictures, or none",
            )
        for number, path in enumerate(track(scans, "restoring real scans"), start=1):
            scan = read_scan(path)
            scored = score_real_scan(
                scan.counts, restorers, params.speed_factor, params.seed, summary["data_range_counts"], scan.views
            )
            derivation = (
                f"Simulated rapid scan: binomially thinned {params.speed_factor:g}-fold (seed {params.seed}), "
                "then restored to the counts of the source. Processed image, not for diagnosis"
            )
            dataset = restored_object(path, scored.estimates[RESTORED], identity, derivation)
            save_object(folder / f"scan-{number}.dcm", dataset)
            scored.table.to_csv(folder / f"scan-{number}.csv", index=False)
            sections.append(_section(scored, scan, folder / f"scan-{number}.png"))
            numbers |= _numbers(scored, f"real_scan_{number}")
        content = content_of_evaluation(inputs.evaluation, registration["decision"], sections)
        content.facts.append(("Registered as", f"{model.name} version {model.version}, alias '{model.alias}'"))
        render_report(content, folder / REPORT)
    for pattern in ("*.html", "*.png", "*.csv"):
        for path in sorted(outputs.restored.glob(pattern)):
            tracker.artifact(path)
    return {"real_scans": len(sections), "pictures_restored": pictures} | numbers


def _restore_pictures(deliveries: list[Path], restore: Restorer, model: RegisteredModel, folder: Path) -> int:
    """Restore the poor pictures without a partner; returns how many. What cannot be read was reported by ingest."""
    if deliveries and model.modality != PICTURE.name:
        raise ScintiflowError(
            "names deliveries of pictures, but the model restores bone scans",
            where="restore_real.cohorts",
            remedy="Name cohorts of DICOM objects, or none",
        )
    waiting = [(delivery, path) for delivery in deliveries for path in list_delivery(delivery).unpaired_low]
    restored = 0
    for delivery, path in track(waiting, "restoring pictures"):
        try:
            levels = read_picture(path)
        except PictureRefusedError:
            continue
        target = folder / "pictures" / delivery.name / path.relative_to(delivery / LOW).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        save_picture(target, restore(levels, 1.0))
        restored += 1
    return restored


def _real_scans(cohorts: Path, folders: list[Path]) -> list[Path]:
    """De-identified objects that wait for a partner in some of the cohorts."""
    found = []
    for folder in folders:
        entries = without_withdrawn(read_ledger(folder).entries, withdrawn_patients(cohorts))
        kept = [entry.path for entry in entries if entry.outcome == Outcome.UNPAIRED and entry.path]
        if not kept:
            raise ScintiflowError(
                "holds no single scan to restore",
                where=folder,
                remedy="Take the cohort out of restore_real.cohorts in params.yaml",
            )
        found += [folder / path for path in kept]
    return found


def _section(scored: RealScan, scan: Scan, picture: Path) -> RealScanSection:
    title = f"Real scan, {scan.scanner}"
    age = "not recorded" if scan.age_years is None else f"{scan.age_years:.1f} years"
    drawn = draw_real_scan(scored, picture, title)
    panels = tuple(asdict(panel) for panel in drawn.panels)
    words = (
        f"A real whole-body bone scan, acquired at {scan.velocity_mm_s * 6:.0f} cm/min (age {age}). Its counts were "
        f"thinned binomially to a scan {scored.factor:g} times as fast, which the registered model restored. "
        "No truth is known: methods are scored against the counts that the thinning held out, which are independent "
        "of what was restored."
    )
    return RealScanSection(title, words, scored, ReportPicture(drawn.path, drawn.title, drawn.caption, panels=panels))


def _numbers(scored: RealScan, prefix: str) -> dict[str, float]:
    means = scored.table.groupby("method")[["psnr_corrected", "psnr_held_out", "count_bias"]].mean()
    return {
        f"{prefix}_{column}_{method}": float(value)
        for method, row in means.iterrows()
        for column, value in row.items()
    }
