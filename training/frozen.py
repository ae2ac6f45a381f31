"""Frozen linear layers in bfloat16, for CPUs that multiply it faster.

Autocast would lower attention too, whose backward pass is slower in bfloat16 on a CPU than in float32. Here only the
products with frozen weights are lowered: they are two thirds of a step, and each gives the bits that autocast gives.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from backbone import Backbone
from backbone.layers import Mlp


class FrozenLinear(nn.Module):
    """A linear layer that does not train: rounds what comes to bfloat16, and what goes back to it.

    Attributes:
        weight: (out, in), bfloat16.
        bias: (out), bfloat16, or None.
        out: in which numbers the result is given.
    """

    def __init__(self, linear: nn.Linear, out: torch.dtype = torch.float32) -> None:
        """The weights of `linear`, rounded."""
        super().__init__()
        self.out = out
        self.weight = _rounded(linear.weight)
        self.bias = None if linear.bias is None else _rounded(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in), float32 or bfloat16 -> (..., out)."""
        result: Tensor = _Product.apply(x, self.weight, self.bias, self.out)
        return result


def freeze_products(backbone: Backbone) -> None:
    """Have `backbone` multiply by its linear layers in bfloat16, and keep what is inside an MLP in it.

    The residual stream, norms, attention and convolutions stay float32.
    """
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                inside = isinstance(module, Mlp) and child is module.fc1
                setattr(module, name, FrozenLinear(child, torch.bfloat16 if inside else torch.float32))


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
