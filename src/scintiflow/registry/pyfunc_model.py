"""The registered model as MLflow loads it: counts in, counts out. Run by MLflow, not imported.

Input: float32 `[scan, view, row, column]`, integer counts of rapid scans.
Parameter `count_ratio`: expected standard / rapid counts, 2.0 for double speed.
Output: float32, same shape, estimated counts of the standard scans.
"""

from pathlib import Path

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class RestorationModel(PythonModel):
    """f^IR1 alone: no SAM and no masks at inference."""

    def load_context(self, context):
        from scintiflow.restoration.restorer import load_restorer

        self._restore = load_restorer(Path(context.artifacts["cascade"]))

    def predict(self, context, model_input, params=None):
        count_ratio = float((params or {}).get("count_ratio", 2.0))
        return np.stack([self._restore(scan, count_ratio) for scan in np.asarray(model_input, np.float32)])


set_model(RestorationModel())
