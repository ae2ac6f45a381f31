"""The runtime for a device where launches cost more than arithmetic: padded weights, batched products, recorded graphs.

On the CPU a task's adapter is two products at its exact width. On a GPU such products are too small to pay for their
launches. So here all rows of a batch go through one batched product for each size class. Its weights are gathered from
the bank by slot. Padding is exact: a padded neuron has zero weights on both sides, and slot 0 is all zeros.

`bank` keeps the weights, `graphs` records launches and replays them, `runtime` computes.
"""

from service.engine.padded.runtime import PaddedRuntime

__all__ = ["PaddedRuntime"]
