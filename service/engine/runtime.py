"""What computes a planned batch: the one part of the engine that another device or another library replaces."""

from typing import Protocol

from torch import Tensor

from backbone import Backbone
from backbone.arithmetic import Arithmetic, ByModules
from service.engine.bank import Resident
from service.engine.forward import forward
from service.engine.planning import Plan


class Runtime(Protocol):
    """Computes planned batches, by one thread at a time."""

    @property
    def shares_trunk(self) -> bool:
        """Whether rows of other tasks on the same image share what they can; rows of the same task always do."""
        ...

    def prepare(self, resident: Resident) -> None:
        """A task has become resident: bring its weights to where they are computed with. Called by any thread."""
        ...

    def forward(self, images: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
        """Logits (rows, K) and features (rows, F) of each of the plan's groups, float32 on the CPU.

        Args:
            images: (B, 3, H, W) float32, normalised, in the order of the plan's images.
            plan: what to share and where to fork.
        """
        ...


class TorchRuntime:
    """PyTorch, in float32 on the CPU. What computes the sub-layers may be replaced by something faster at any time."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._arithmetic: Arithmetic = ByModules(backbone)

    def use(self, arithmetic: Arithmetic) -> None:
        """Compute the sub-layers by `arithmetic`, from the next batch on."""
        self._arithmetic = arithmetic  # one pointer move: a batch under way goes on with what it began with

    @property
    def shares_trunk(self) -> bool:
        """Yes: it is computed once."""
        return True

    def prepare(self, resident: Resident) -> None:
        """Nothing: they lie where they are computed with."""

    def forward(self, images: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
        """As `Runtime.forward`; the trunk that rows share is computed once."""
        return forward(self._backbone, images, plan, self._arithmetic)
