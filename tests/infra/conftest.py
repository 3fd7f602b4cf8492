import pytest
from manifests import OVERLAYS, everything


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return request.param


@pytest.fixture
def objects(program, overlay):
    """All objects of an overlay; `program` is kubectl."""
    return everything(program, overlay)
