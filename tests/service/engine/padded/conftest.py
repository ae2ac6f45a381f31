"""The reference for padded products."""

import pytest

from backbone import Backbone
from service.engine.runtime import TorchRuntime


@pytest.fixture
def runtime(backbone: Backbone) -> TorchRuntime:
    """Exact products, and nothing else."""
    return TorchRuntime(backbone)
