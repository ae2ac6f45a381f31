"""The frozen backbone during training: its precision, the code that computes it, and torch.compile.

Trained weights, their moments and their scores are always float32. With "bf16" the products with frozen weights are in
bfloat16. On CUDA autocast does that. It would cast every frozen weight again in each forward pass, so these weights are
stored in bfloat16. On a CPU autocast would also compute attention in bfloat16, whose backward pass is slower than in
float32. There `FrozenLinear` computes only the products with frozen weights in bfloat16. They are two thirds of a step,
and their results equal autocast's bit for bit.
"""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from backbone import Backbone
from backbone.backend import Backend, ModuleBackend
from backbone.kernels import best, default_folder
from backbone.layers import Mlp
from training.options import Precision

# Compiled versions of one kind of sub-layer: stages have their own shapes, with and without a shift, with gradients and
# without, and a last short batch. PyTorch's own limit is 8.
_VERSIONS = 128


@dataclass(slots=True, eq=False)
class FrozenBackbone:
    """A frozen backbone and the network that training computes.

    Attributes:
        original: in float32; files are made from it, and it names the backbone.
        backbone: the network that gradients pass through: the original, or a copy in another precision or compiled.
        precision: of the products with frozen weights.
    """

    original: Backbone
    backbone: Backbone
    precision: Precision = "auto"
    _bare: Backend | None = field(default=None, repr=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = next(self.backbone.parameters()).device
        return device

    @property
    def bare(self) -> Backend:
        """The kernel backend for parts without gradients; chosen once, so that a run always has the same numbers.

        On a CPU it uses the kernels of serving. They are compiled if they are missing, once in two seconds. Without a
        compiler it uses PyTorch's modules.
        """
        if self._bare is None:
            self._bare = self._chosen()
        return self._bare

    def _chosen(self) -> Backend:
        if self.lowers and not _casts(self.device):
            return best(self.original, default_folder(), compiles=True, precision="bf16")
        if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in self.backbone.parameters()):
            return ModuleBackend(self.backbone)
        return best(self.backbone, default_folder(), compiles=True)

    @property
    def lowers(self) -> bool:
        """Whether products are computed in bfloat16."""
        return lowers(self.device, self.precision)

    @property
    def casts(self) -> bool:
        """Whether autocast makes them so, the adapters' products among them."""
        return self.lowers and _casts(self.device)


def frozen_backbone(backbone: Backbone, precision: Precision = "auto", *, compiles: bool = False) -> FrozenBackbone:
    """A frozen backbone ready to train adapters on.

    Args:
        backbone: in float32, on the device to train on; it stays as it is.
        precision: of the products with frozen weights.
        compiles: put the sub-layers through torch.compile.
    """
    device = next(backbone.parameters()).device
    network = _lowered(backbone) if lowers(device, precision) else backbone
    return FrozenBackbone(backbone, compiled(network) if compiles else network, precision)


def lowers(device: torch.device, precision: Precision) -> bool:
    """Whether products are computed in bfloat16 there."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """The context of every forward pass of training and evaluation."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_casts(device) and lowers(device, precision))


def compiled(backbone: Backbone, backend: str = "inductor") -> Backbone:
    """A copy whose merging and branches are compiled when they are first computed.

    Sub-layers of one kind and shape share the compiled code. Adapters are not compiled: their widths change with every
    pruning. A sub-layer that cannot be compiled as a whole raises PyTorch's error.
    """
    from torch._dynamo import config  # noqa: PLC0415 - the compiler takes seconds to import

    config.recompile_limit = max(config.recompile_limit, _VERSIONS)
    own = copy.deepcopy(backbone)
    for site in own.sites:
        site.enter.compile(fullgraph=True, backend=backend)
        site.branch.compile(fullgraph=True, backend=backend)
    return own


class FrozenLinear(nn.Module):
    """A linear layer whose weight does not train: its input, and the gradient that comes back, become bfloat16.

    Attributes:
        weight: (out, in), bfloat16.
        bias: (out), bfloat16, or None; one that trains is the given layer's own, and stays as it is.
        out: dtype of the result.
    """

    def __init__(self, linear: nn.Linear, out: torch.dtype = torch.float32) -> None:
        """The weights of `linear`, rounded."""
        super().__init__()
        self.out, bias = out, linear.bias
        self.weight = _rounded(linear.weight)
        self.bias = _rounded(bias) if bias is not None and not bias.requires_grad else bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in), float32 or bfloat16 -> (..., out)."""
        if self.bias is not None and self.bias.requires_grad:
            product: Tensor = _Product.apply(x, self.weight, None, torch.float32)
            return (product + self.bias).to(self.out)
        result: Tensor = _Product.apply(x, self.weight, self.bias, self.out)
        return result


def freeze_products(model: nn.Module) -> None:
    """Replace the linear layers of `model` whose weights do not train by `FrozenLinear`.

    Values inside an MLP stay in bfloat16. The residual stream, norms, attention and convolutions stay float32.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and not child.weight.requires_grad:
                inside = isinstance(module, Mlp) and child is module.fc1
                setattr(module, name, FrozenLinear(child, torch.bfloat16 if inside else torch.float32))


def lower_products(model: nn.Module, device: torch.device, precision: Precision) -> None:
    """Prepare `model`, whose modules must be its own, for the precision; on CUDA autocast does it at every step."""
    if lowers(device, precision) and not _casts(device):
        freeze_products(model)


def _lowered(backbone: Backbone) -> Backbone:
    """A copy with its products in bfloat16. On CUDA use its forward only inside `autocast`."""
    own = copy.deepcopy(backbone)
    if _casts(next(backbone.parameters()).device):
        _store(own)
    else:
        freeze_products(own)
    return own


def _casts(device: torch.device) -> bool:
    """Whether autocast does the conversion on this device."""
    return device.type == "cuda"


def _store(backbone: Backbone) -> None:
    """Weights of products in bfloat16; norms and position tables stay in float32, as autocast wants them."""
    for module in backbone.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(torch.bfloat16)


def _rounded(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, out: torch.dtype) -> Tensor:
        ctx.weight, ctx.into = weight, x.dtype  # type: ignore[attr-defined]
        return functional.linear(x.to(torch.bfloat16), weight, bias).to(out)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        weight, into = ctx.weight, ctx.into  # type: ignore[attr-defined]
        return (gradients[0].to(torch.bfloat16) @ weight).to(into), None, None, None
