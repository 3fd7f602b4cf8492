"""The registered model as MLflow loads it: counts in, counts out. Run by MLflow, not imported.

Input: float32 `[scan, view, row, column]`, integer counts of rapid scans.
Parameter `count_ratio`: expected standard / rapid counts, 2.0 for double speed.
Output: float32, same shape, estimated counts of the standard scans.
"""

import os
from pathlib import Path

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class RestorationModel(PythonModel):
    """f^IR1 alone, no SAM and no masks, as `scintiflow restore` runs it: the version's graph, or torch."""

    def load_context(self, context):
        from scintiflow.restoration.runtime import open_restorer

        self._restore = open_restorer(Path(context.artifacts["cascade"]), os.cpu_count() or 1)

    def predict(self, context, model_input, params=None):
        count_ratio = float((params or {}).get("count_ratio", 2.0))
        return np.stack([self._restore(scan, count_ratio) for scan in np.asarray(model_input, np.float32)])


set_model(RestorationModel())
