"""Training curves: rows of numbers by optimiser step, as CSV for `dvc plots` and as one picture."""

from pathlib import Path

import matplotlib
import pandas as pd

from scintiflow.files import whole_file

LOSSES = ("deviance_first", "deviance_second", "skd_output", "skd_feature", "scm", "prior_head")
VALIDATION = ("validation_psnr_first_db", "validation_psnr_second_db")
COLUMNS = ("step", *LOSSES, *VALIDATION, "learning_rate", "distillation")


class Curves:
    """Means of what each step adds, closed into a row now and then; survives in a checkpoint as plain values."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._numbers: dict[str, int] = {}

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._numbers[name] = self._numbers.get(name, 0) + 1

    def close_row(self, step: int, **extra: float) -> dict[str, float]:
        """Means since the last row together with `extra`, kept and returned."""
        means = {name: self._sums[name] / self._numbers[name] for name in self._sums}
        self._sums, self._numbers = {}, {}
        self.rows.append({"step": float(step), **means, **extra})
        return self.rows[-1]

    def last(self, name: str) -> float | None:
        """The newest value of a column, None if it never had one."""
        return next((row[name] for row in reversed(self.rows) if name in row), None)

    def state(self) -> dict:
        return {"rows": self.rows, "sums": self._sums, "numbers": self._numbers}

    def restore(self, state: dict) -> None:
        self.rows, self._sums, self._numbers = list(state["rows"]), dict(state["sums"]), dict(state["numbers"])

    def save(self, folder: Path) -> None:
        """Write `curves.csv` and `curves.png`."""
        table = pd.DataFrame(self.rows, columns=list(COLUMNS)).astype({"step": int})
        with whole_file(folder / "curves.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g")
        with whole_file(folder / "curves.png") as partial:
            _draw(table, partial)


def _draw(table: pd.DataFrame, path: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    labels = {"deviance_first": "f^IR1", "deviance_second": "f^IR2 (privileged masks)", "scm": "SCM"}
    labels |= {"skd_output": "SKD, outputs", "skd_feature": "SKD, features", "prior_head": "prior head"}
    labels |= {VALIDATION[0]: "f^IR1", VALIDATION[1]: "f^IR2 (privileged masks)"}
    panels = {
        "Poisson deviance per pixel": ("deviance_first", "deviance_second"),
        "weighted further losses": ("skd_output", "skd_feature", "scm", "prior_head"),
        "noise-corrected PSNR, held-out patients (dB)": VALIDATION,
    }
    used = {title: [name for name in names if table[name].notna().any()] for title, names in panels.items()}
    used = {title: names for title, names in used.items() if names} or {title: [] for title in panels}
    figure, axes = pyplot.subplots(1, len(used), figsize=(4.4 * len(used), 4), layout="constrained", squeeze=False)
    for axis, (title, names) in zip(axes[0], used.items(), strict=True):
        for name in names:
            drawn = table[["step", name]].dropna()
            axis.plot(drawn["step"], drawn[name], marker="." if name in VALIDATION else None, label=labels[name])
        axis.set(title=title, xlabel="optimiser step")
        axis.grid(alpha=0.3)
        if names:
            axis.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
