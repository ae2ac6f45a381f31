"""Every method by name: how it is built, which learning rates to try, and whether it costs anything once merged.

Rates are peaks for AdamW (training.fit) to choose from on validation. The MiMi paper's table uses one rate for all,
5e-4, which is its largest unfairness. Scales were published at 5e-3 to 1e-2, FacT at 1e-3, prompts far above; a whole
network would diverge at such rates. Prompts were published with SGD; their rates under AdamW are our own guess. Every
grid follows the same rule (training.rates): three rates of one series, extended if the best is at an edge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from backbone import Backbone
from training.methods import adapters, fact, lora, subsets
from training.methods.adapters import adaptformer, convpass, phm, repadapter
from training.methods.lora import adalora
from training.methods.ssf import ssf
from training.methods.vpt import vpt
from training.model import TaskModel
from training.rates import around

Build = Callable[[Backbone, int, int], TaskModel]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to teach a frozen network a task.

    Attributes:
        name: of the method, as on the command line.
        build: from a backbone (which stays as it is), the number of classes and a seed, a model to train.
        rates: learning rates to choose from on validation.
        mergeable: `merged` gives a plain network with the same logits.
        source: where it is described.
    """

    name: str
    build: Build
    rates: tuple[float, float, float]
    mergeable: bool
    source: str


_MIMI = "Marouf et al. 2024 (MiMi), table 1"
_WHOLE = around(2e-4)  # weights of the network itself
_SMALL = around(2e-3)  # new matrices beside it
_VECTORS = around(5e-3)  # biases, scales, one neuron, a head
_PROMPTS = around(1e-2)

_ALL = (
    Method("full", subsets.full, _WHOLE, True, _MIMI),
    Method("full-adapters", adapters.in_full, _WHOLE, False, "Marouf et al. 2024 (MiMi), table 4"),
    Method("attention", subsets.attention, _WHOLE, True, _MIMI),
    Method("mlp", subsets.mlp, _WHOLE, True, _MIMI),
    Method("linear", subsets.linear_probe, _VECTORS, True, _MIMI),
    Method("adapters-sigma32", partial(adapters.by_sigma, sigma=32), _SMALL, False, _MIMI),
    Method("adapters-n47", partial(adapters.by_width, width=47), _SMALL, False, _MIMI),
    Method("adapters-n23", partial(adapters.by_width, width=23), _SMALL, False, _MIMI),
    Method("adapters-n1", partial(adapters.by_width, width=1), _SMALL, False, _MIMI),
    Method("tiny-adapters", adapters.tiny, _VECTORS, False, "Houlsby et al. 2019, arXiv 1902.00751"),
    Method("adapters-plus", adapters.plus, _SMALL, False, "Steitz and Roth 2024, arXiv 2406.06820"),
    Method("adaptformer-64", partial(adaptformer, width=64), _SMALL, False, "Chen et al. 2022, arXiv 2205.13535"),
    Method("adaptformer-256", partial(adaptformer, width=256), _SMALL, False, "Chen et al. 2022, arXiv 2205.13535"),
    Method("bitfit", subsets.bitfit, _VECTORS, True, "Ben Zaken et al. 2022, arXiv 2106.10199"),
    Method("phm", phm, _SMALL, False, "Karimi Mahabadi et al. 2021, arXiv 2106.04647"),
    Method("compacter", partial(phm, rank_one=True), _SMALL, False, "Karimi Mahabadi et al. 2021, arXiv 2106.04647"),
    Method("vpt-10", partial(vpt, prompts=10), _PROMPTS, False, "Jia et al. 2022, arXiv 2203.12119"),
    Method("vpt-100", partial(vpt, prompts=100), _PROMPTS, False, "Jia et al. 2022, arXiv 2203.12119"),
    Method("ssf", ssf, _VECTORS, True, "Lian et al. 2022, arXiv 2210.08823"),
    Method("fact-tk", fact.fact_tk, _SMALL, True, "Jie and Deng 2023, Tucker, arXiv 2212.03145"),
    Method("fact-tt", fact.fact_tt, _SMALL, True, "Jie and Deng 2023, tensor train, arXiv 2212.03145"),
    Method("lora", lora.queries_values, _SMALL, True, "Hu et al. 2022, section 4.1, arXiv 2106.09685"),
    Method("lora-all", lora.all_linears, _SMALL, True, "Hu et al. 2022 on every linear layer, arXiv 2106.09685"),
    Method("adalora", adalora, _SMALL, True, "Zhang et al. 2023, arXiv 2303.10512"),
    Method("repadapter", repadapter, _SMALL, True, "Luo et al. 2023, arXiv 2302.08106"),
    Method("convpass", convpass, _SMALL, False, "Jie and Deng 2022, arXiv 2207.07039"),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
