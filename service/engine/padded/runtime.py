"""Planned batches on one device, with adapters gathered from a bank of slots.

Each sub-layer, bare or adapted, is one recordable step for its number of rows and its size classes. A batch is a chain
of such steps. A kind of plan that has come more than `HOT` times is recorded as a whole, forks included. Rows are
padded to a few sizes (`SIZES`), so batches of different sizes share recordings. A padded row repeats the first one and
uses slot 0 everywhere.

Products are computed in the chosen dtype. Norms, the residual stream and the head are always float32.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone import Backbone, SubLayer
from backbone.layers import Branch, WindowAttention
from service.engine.cache import DEFAULT_BUDGET, TierUsage
from service.engine.padded.bank import HEAD, Bank, Blocking, Key, Overlapped, Transfer, width_class
from service.engine.padded.graphs import Direct, Graphs, Player
from service.engine.planning import Plan
from service.engine.weights import Resident

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # rows; a larger batch is not padded
HOT = 3
RECORDINGS = 512
MOST_SEEN = 4096  # kinds of plans that are counted
Answers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which row of a batch uses which slot at which site: a plan, as tensors of few sizes.

    Attributes:
        images: which of the plan's images enter, padded.
        keys: classes in use, in the order of `slots`.
        slots: (keys, rows) int64 on the CPU: the slot of each row, for the largest padded number of rows in the batch.
        forks: by site, rows that go on from its output, padded.
    """

    images: list[int]
    keys: tuple[Key, ...]
    slots: Tensor
    forks: dict[int, list[int]]

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for batches that launch the same work."""
        forks = tuple((site, len(order)) for site, order in sorted(self.forks.items()))
        return len(self.images), self.keys, forks


def lay_out(plan: Plan, bank: Bank) -> Layout:
    """The layout of a plan; weights that are not in the bank are copied to it."""
    slots = bank.slots([resident for resident, _ in plan.groups])
    keys = sorted({key for each in slots for key in each}, key=lambda key: (key[0] == HEAD, key))
    forks = {site: _padded(order) for site, order in plan.forks.items()}
    images = _padded(range(len(plan.images)))
    rows = max(len(order) for order in (images, *forks.values()))
    table = np.zeros((len(keys), rows), np.int64)  # NumPy's small writes cost a tenth of PyTorch's
    for index, key in enumerate(keys):
        for (_, places), each in zip(plan.groups, slots, strict=True):
            table[index, places] = each.get(key, 0)
    return Layout(images, tuple(keys), torch.from_numpy(table), forks)


def padded_size(rows: int) -> int:
    """The smallest of `SIZES` that holds `rows`; beyond the largest, `rows` itself."""
    place = bisect_left(SIZES, rows)
    return SIZES[place] if place < len(SIZES) else rows


def _padded(order: Sequence[int]) -> list[int]:
    return [*order, *[order[0]] * (padded_size(len(order)) - len(order))]


def in_mixed_precision(backbone: Backbone, dtype: torch.dtype) -> Backbone:
    """A copy whose sub-layers multiply by their weights in `dtype`; stem, norms and residual stream are float32.

    The stem is small, and rounding the image costs more accuracy than all other products together.
    """
    copy = deepcopy(backbone)

    def cast_input(to: torch.dtype) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        return lambda _, given: (given[0].to(to),)

    for module in copy.layers.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype).register_forward_pre_hook(cast_input(dtype))
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(cast_input(torch.float32))
        if isinstance(module, WindowAttention):
            module.bias = module.bias.to(dtype)
        if isinstance(module, Branch):  # at once, while windows are not cut yet: half the bytes to move
            module.get_submodule("norm").register_forward_hook(lambda _, given, out: out.to(dtype))
    return copy


class PaddedRuntime:
    """A copy of the backbone on `device`, and a bank of the weights of tasks that have been asked for."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: torch.device,
        dtype: torch.dtype,
        budget: int = DEFAULT_BUDGET,
        player: Player | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        """Copy the backbone to the device.

        Args:
            backbone: stays as it is.
            device: where batches are computed.
            dtype: of factors in products; logits and features are float32.
            budget: most bytes of adapters and heads on the device.
            player: records launches; CUDA graphs on a CUDA device where None, and nothing elsewhere.
            transfer: copies weights; where None on a CUDA stream of its own, or in the calling thread elsewhere.
        """
        self._backbone = in_mixed_precision(backbone, dtype).to(device)
        self._device, self._dtype = device, dtype
        on_gpu = device.type == "cuda"
        self._player = player or (Graphs(most=RECORDINGS) if on_gpu else Direct())
        transfer = transfer or (Overlapped if on_gpu else Blocking)(device)
        self._bank = Bank(device=device, dtype=dtype, transfer=transfer, budget=budget)
        self._recorded = 0  # generation of the bank that recordings read
        self._seen: Counter[object] = Counter()

    @property
    def precision(self) -> str:
        """That of products on the device."""
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(self._dtype, "fp32")

    @property
    def shares_trunk(self) -> bool:
        """True: the trunk is computed once."""
        return True

    @torch.inference_mode()
    def prepare(self, resident: Resident) -> None:
        """Start to copy a task's weights, beside the batch that is being computed, if there are free slots."""
        self._bank.prepare(resident)

    def pin(self, hashes: Collection[str]) -> None:
        """As `Runtime.pin`."""
        self._bank.pin(hashes)

    def usage(self) -> TierUsage:
        """As `Runtime.usage`."""
        return self._bank.usage()

    @torch.inference_mode()
    def forward(self, images: Tensor, plan: Plan) -> Answers:
        """As `Runtime.forward`; the trunk that rows share is computed once."""
        layout = lay_out(plan, self._bank)
        if self._bank.generation != self._recorded:
            self._player.forget()
            self._recorded = self._bank.generation
        features = self._features(self._send(images[layout.images]), layout)
        return self._heads(features, plan, layout)

    def _features(self, x: Tensor, layout: Layout) -> Tensor:
        """(rows, F) on the device."""
        slots = self._send(layout.slots)
        forks = [self._send(torch.tensor(order)) for _, order in sorted(layout.forks.items())]
        sites = sorted(layout.forks)
        if not self._is_hot(layout.signature):
            return self._walk(x, slots, *forks, layout=layout, sites=sites, run=self._player.run)
        return self._player.run(
            ("whole", layout.signature),
            lambda x, slots, *forks: self._walk(x, slots, *forks, layout=layout, sites=sites, run=Direct().run),
            [x, slots, *forks],
        )

    def _is_hot(self, signature: object) -> bool:
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen[signature] += 1
        return self._seen[signature] > HOT

    def _walk(
        self,
        x: Tensor,
        slots: Tensor,
        *forks: Tensor,
        layout: Layout,
        sites: Sequence[int],
        run: Callable[..., Tensor],
    ) -> Tensor:
        """The loop over the sub-layers, each one `run` as a step of its own."""
        network, orders = self._backbone, dict(zip(sites, forks, strict=True))
        x = run(("embed", len(x)), network.embed, [x])
        for site in network.sites:
            order = orders.get(site.index)
            numbers = [number for number, key in enumerate(layout.keys) if key[0] == site.index]
            rows = len(x) if order is None else len(order)
            inputs = [x, *([] if order is None else [order]), *(slots[number, :rows] for number in numbers)]
            keys = tuple(layout.keys[number] for number in numbers)
            step = self._step(site, keys, forked=order is not None)
            x = run((site.index, len(x), rows, order is not None, keys), step, inputs)
        features = run(("pool", len(x)), network.pool, [x])
        last = orders.get(len(network.sites))
        return features if last is None else features.index_select(0, last)

    def _step(self, site: SubLayer, keys: Sequence[Key], *, forked: bool) -> Callable[..., Tensor]:
        """x + adapted branch(x), for the rows that go on; x is float32."""

        def step(x: Tensor, *given: Tensor) -> Tensor:
            x = site.enter(x).float()
            h = site.branch(x)
            if forked:
                x, h = x.index_select(0, given[0]), h.index_select(0, given[0])
            return self._adapted(x + h, h, list(zip(keys, given[forked:], strict=True)))

        return step

    def _adapted(self, x: Tensor, h: Tensor, live: Sequence[tuple[Key, Tensor]]) -> Tensor:
        """x + what each row's adapter gives for h (equation 1). Classes add up: a row has zeros in all but its own."""
        if not live:
            return x
        tokens = h.reshape(len(h), -1, h.shape[-1]).to(self._dtype)  # (R, T, M)
        out = x.reshape(tokens.shape)
        for key, slots in live:
            down, up = (tensor.index_select(0, slots) for tensor in self._bank[key])  # (R, N, M) and (R, M, N)
            hidden = functional.gelu(torch.bmm(tokens, down.mT))
            # one launch less where no sum would be rounded for it
            same = out.dtype == hidden.dtype
            out = torch.baddbmm(out, hidden, up.mT) if same else out + torch.bmm(hidden, up.mT)
        return out.view_as(x)

    def _heads(self, features: Tensor, plan: Plan, layout: Layout) -> Answers:
        logits: dict[int, Tensor] = {}
        for number, (site, width) in enumerate(layout.keys):
            if site == HEAD:
                slots = self._send(layout.slots[number, : len(features)])
                weight, bias = (tensor.index_select(0, slots) for tensor in self._bank[site, width])
                logits[width] = torch.baddbmm(bias.unsqueeze(1), features.unsqueeze(1), weight.mT).squeeze(1).cpu()
        host = features.cpu()
        return [_answer(resident.head, rows, logits, host) for resident, rows in plan.groups]

    def _send(self, tensor: Tensor) -> Tensor:
        """To the device, without waiting for it where that is possible."""
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _answer(
    head: tuple[Tensor, Tensor], rows: slice, logits: dict[int, Tensor], features: Tensor
) -> tuple[Tensor, Tensor]:
    classes = len(head[1])
    return logits[width_class(classes)][rows, :classes], features[rows]
