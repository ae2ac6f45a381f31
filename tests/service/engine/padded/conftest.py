"""What padded products are compared with."""

import pytest

from backbone import Backbone
from service.engine.runtime import TorchRuntime


@pytest.fixture
def runtime(backbone: Backbone) -> TorchRuntime:
    """Exact products, and nothing else."""
    return TorchRuntime(backbone)
