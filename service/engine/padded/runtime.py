"""Planned batches on one device through padded banks.

Each sub-layer, bare or adapted, is one recordable step for its bucket of rows and its classes of width, and a batch is
a chain of such steps. A plan whose like has come more than `HOT` times is recorded as a whole, forks included.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, SubLayer
from service.engine.bank import Resident
from service.engine.padded.bank import HEAD, Bank, Key, width_class
from service.engine.padded.graphs import Direct, Graphs, Player
from service.engine.padded.lanes import Inline, Lane, Stream
from service.engine.padded.layout import Layout, lay_out
from service.engine.planning import Plan

HOT = 3
RECORDINGS = 512
MOST_SEEN = 4096  # kinds of plans that are counted
Answers = list[tuple[Tensor, Tensor]]


class PaddedRuntime:
    """A copy of the backbone on `device`, in `dtype`, and the weights of the tasks that have been asked for."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: torch.device,
        dtype: torch.dtype,
        player: Player | None = None,
        lane: Lane | None = None,
    ) -> None:
        """Copy the backbone to the device.

        Args:
            backbone: stays as it is.
            device: where batches are computed.
            dtype: of weights and activations; logits and features come back in float32.
            player: records launches; CUDA graphs on a CUDA device where None, and nothing elsewhere.
            lane: sends weights; a stream of its own on a CUDA device where None, and the calling thread elsewhere.
        """
        self._backbone = deepcopy(backbone).to(device=device, dtype=dtype)
        self._device, self._dtype = device, dtype
        on_gpu = device.type == "cuda"
        self._player = player or (Graphs(most=RECORDINGS) if on_gpu else Direct())
        lane = lane or (Stream if on_gpu else Inline)(device, dtype)
        self._bank, self._recorded = Bank(device=device, dtype=dtype, lane=lane), 0
        self._seen: Counter[object] = Counter()

    @property
    def nbytes(self) -> int:
        """Bytes of adapters and heads on the device, free slots and padding included."""
        return self._bank.nbytes

    @property
    def shares_trunk(self) -> bool:
        """Yes: it is computed once."""
        return True

    @torch.inference_mode()
    def prepare(self, resident: Resident) -> None:
        """Begin to send a task's weights, beside the batch that is being computed, if there is room for them."""
        self._bank.prepare(resident)

    @torch.inference_mode()
    def forward(self, images: Tensor, plan: Plan) -> Answers:
        """As `Runtime.forward`; the trunk that rows share is computed once."""
        layout = lay_out(plan, self._bank)
        if self._bank.generation != self._recorded:
            self._player.forget()
            self._recorded = self._bank.generation
        features = self._features(self._send(images[layout.images]).to(self._dtype), layout)
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
            keys = [number for number, key in enumerate(layout.keys) if key[0] == site.index]
            rows = len(x) if order is None else len(order)
            inputs = [x, *([] if order is None else [order]), *(slots[number, :rows] for number in keys)]
            step = self._step(site, [layout.keys[number] for number in keys], forked=order is not None)
            key = (site.index, len(x), rows, order is not None, tuple(layout.keys[number] for number in keys))
            x = run(key, step, inputs)
        features = run(("pool", len(x)), network.pool, [x])
        last = orders.get(len(network.sites))
        return features if last is None else features.index_select(0, last)

    def _step(self, site: SubLayer, keys: Sequence[Key], *, forked: bool) -> Callable[..., Tensor]:
        """x + adapted branch(x), for the rows that go on."""

        def step(x: Tensor, *given: Tensor) -> Tensor:
            x = site.enter(x)
            h = site.branch(x)
            if forked:
                x, h = x.index_select(0, given[0]), h.index_select(0, given[0])
            return x + self._adapt(h, list(zip(keys, given[forked:], strict=True)))

        return step

    def _adapt(self, h: Tensor, live: Sequence[tuple[Key, Tensor]]) -> Tensor:
        """Equation 1 for every row, with its own weights: classes add up, since a row has zeros in all but its own."""
        tokens = h.reshape(len(h), -1, h.shape[-1])  # (R, T, M)
        out = tokens
        for key, slots in live:
            down, up = (tensor.index_select(0, slots) for tensor in self._bank[key])  # (R, N, M) and (R, M, N)
            hidden = functional.gelu(torch.bmm(tokens, down.mT))
            out = torch.baddbmm(out, hidden, up.mT)
        return out.view_as(h)

    def _heads(self, features: Tensor, plan: Plan, layout: Layout) -> Answers:
        logits: dict[int, Tensor] = {}
        for number, (site, width) in enumerate(layout.keys):
            if site == HEAD:
                slots = self._send(layout.slots[number, : len(features)])
                weight, bias = (tensor.index_select(0, slots) for tensor in self._bank[site, width])
                logits[width] = (
                    torch.baddbmm(bias.unsqueeze(1), features.unsqueeze(1), weight.mT).squeeze(1).float().cpu()
                )
        host = features.float().cpu()
        return [_answer(resident.head, rows, logits, host) for resident, rows in plan.groups]

    def _send(self, tensor: Tensor) -> Tensor:
        """To the device, without waiting for it where that can be."""
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _answer(
    head: tuple[Tensor, Tensor], rows: slice, logits: dict[int, Tensor], features: Tensor
) -> tuple[Tensor, Tensor]:
    classes = len(head[1])
    return logits[width_class(classes)][rows, :classes], features[rows]
