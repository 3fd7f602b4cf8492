"""The laptop profile from cohorts to a registered model: how long, and how good.

    python benchmarks/laptop.py            # two runs: everything, then nothing changed; prints Markdown
    python benchmarks/laptop.py --as-is    # only the table of the last run

Uses the project folder as it is: `.scintiflow/` (pipeline outputs and cache) is set aside for the time of
the benchmark, cohorts are made if absent. Scores do not depend on the machine's speed; seconds do, so the
machine is named.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".scintiflow"
ROWS = ("identity", "gaussian", "bm3d", "restored", "standard")
NAMES = {
    "identity": "rapid scan x k",
    "gaussian": "Gaussian, best sigma",
    "bm3d": "Anscombe + BM3D",
    "restored": "f^IR1",
    "standard": "a second standard scan",
}
COLUMNS = {
    "psnr_truth": ("PSNR vs truth, dB", "{:.2f}", 1),
    "psnr_standard": ("PSNR vs S, dB", "{:.2f}", 1),
    "ssim_truth": ("SSIM vs truth", "{:.3f}", 1),
    "bone_bias": ("bone bias, %", "{:+.2f}", 100),
    "lesion_contrast": ("lesion contrast", "{:.2f}", 1),
    "lesion_cnr": ("lesion CNR", "{:.1f}", 1),
    "false_hot_spots": ("false hot spots / view", "{:.2f}", 1),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--as-is", action="store_true", help="do not run, print the table of the last run")
    if not arguments.parse_args().as_is:
        scintiflow("sample-cohorts", "--profile", "laptop")
        kept = STATE.with_name(".scintiflow.before-benchmark")
        if STATE.exists():
            STATE.rename(kept)
        first, second = timed_retrain(), timed_retrain()
        print(f"First run {first:.0f} s; second run with nothing changed {second:.0f} s.\n")
        print(stage_table())
    print(score_table())
    print(f"Machine: {machine()}")


def scintiflow(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "scintiflow.cli", *arguments], cwd=ROOT, check=True)


def timed_retrain() -> float:
    started = time.monotonic()
    scintiflow("retrain", "--profile", "laptop")
    return time.monotonic() - started


def stage_table() -> str:
    """Seconds of each stage, from the events of the last run in which stages ran."""
    events = [path for path in sorted((STATE / "runs").glob("*/events.jsonl")) if path.stat().st_size][-1]
    lines = ["| stage | seconds |", "|---|---|"]
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event.get("event") == "finished":
            lines.append(f"| {event['stage']} | {event['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def score_table() -> str:
    """Body-only scores of the held-out simulated children, mean over patients [95% bootstrap interval]."""
    summaries = sorted((STATE / "pipeline").glob("*/evaluate/evaluation/summary.json"))
    if not summaries:
        sys.exit("no finished evaluation under .scintiflow: run without --as-is first")
    summary = json.loads(summaries[-1].read_text(encoding="utf-8"))
    data_range = f"data range L = {summary['data_range_counts']:g} counts"
    lines = [
        f"{summary['patients']} held-out simulated children, {data_range}.\n",
        "| method | " + " | ".join(title for title, _, _ in COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for method in ROWS:
        estimates = summary["methods"][method]
        cells = [cell(estimates[name], form, scale) for name, (_, form, scale) in COLUMNS.items()]
        lines.append(f"| {NAMES[method]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(estimate: dict, form: str, scale: float) -> str:
    if estimate["mean"] is None:
        return "-"
    text = form.format(estimate["mean"] * scale)
    if estimate["low"] is None:
        return text
    return f"{text} [{form.format(estimate['low'] * scale)}, {form.format(estimate['high'] * scale)}]"


if __name__ == "__main__":
    main()
