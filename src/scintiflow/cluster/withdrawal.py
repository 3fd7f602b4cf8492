"""What a withdrawal of consent means for models: which ones were made of the patient's scans."""

from collections.abc import Iterator

from scintiflow.registry.lineage import History
from scintiflow.registry.traces import traces_of_patient


def retrain_lines(pseudonym: str) -> Iterator[str]:
    """Sentences for whoever withdrew a patient: models, and what to do about them."""
    found = traces_of_patient(History.read(), pseudonym)
    if not found.models:
        yield "Models: none that this registry knows was made of this patient's scans"
    for model in found.models:
        parts = sorted({trace.split for trace in found.traces if model in trace.models})
        yield f"Models: {model.title} was made with this patient ({', '.join(parts)})"
    if found.unrecorded:
        yield f"Models: {len(found.unrecorded)} older data sets kept no record of their patients; ask there too"
    if found.must_be_retrained:
        titles = ", ".join(model.title for model in found.must_be_retrained)
        yield f"To be retrained, after the commit below: {titles} (`scintiflow plan`, `scintiflow retrain`)"
