"""The figures of the literature on Swin-T that can be reproduced, to the last digit."""

from functools import partial

import pytest

from tests.training.methods.networks import swin_tiny
from training.methods import METHODS
from training.methods.flops import paper_flops, paper_parameters, true_flops
from training.methods.lora import all_linears, queries_values
from training.methods.registry import Build
from training.methods.repadapter import repadapter

HEAD = 769 * 345
OWN = {
    "full": 27_519_354,
    "attention": 8_667_162,
    "mlp": 17_274_432,
    "linear": 0,
    "bitfit": 75_546,
    "adapters-sigma32": 1_078_272,
    "adapters-n47": 830_208,
    "adapters-n23": 406_272,
    "adapters-n1": 17_664,
    "tiny-adapters": 17_664,
    "adaptformer-64": 570_432,
    "adaptformer-256": 2_268_480,
    "phm": 182_736,
    "compacter": 112_752,
    "vpt-10": 44_160,
    "vpt-100": 441_600,
    "ssf": 104_448,
    "fact-tt": 239_616,
    "fact-tk": 129_536,
    "lora": 141_312,
    "lora-all": 141_312,
    "adalora": 212_112,  # before the budget falls from 3 triplets a layer to 2
    "repadapter": 115_008,
    "convpass": 164_352,
}
OTHER_SIZES: dict[str, tuple[Build, int]] = {
    "lora of rank 1": (partial(queries_values, rank=1), 17_664),
    "lora of rank 2": (partial(queries_values, rank=2), 35_328),
    "lora of rank 1 everywhere": (partial(all_linears, rank=1), 70_656),
    "repadapter of 2 channels": (partial(repadapter, hidden=2), 35_376),
}
FIRST_SITES = {"linear": 24, "mlp": 1, "adaptformer-64": 1, "adaptformer-256": 1}


def test_every_method_has_its_count_below() -> None:
    assert OWN.keys() == METHODS.keys()
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize("name", OWN)
def test_own_parameters_are_those_of_the_literature(name: str) -> None:
    model = METHODS[name].build(swin_tiny(), 345, 0)
    assert model.parameter_counts() == (OWN[name], HEAD)
    assert model.first_site == FIRST_SITES.get(name, 0)


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_own_parameters_follow_the_rank(name: str) -> None:
    method, own = OTHER_SIZES[name]
    assert method(swin_tiny(), 10, 0).parameter_counts() == (own, 7690)


@pytest.mark.parametrize(
    ("name", "trained", "percent"),
    [
        ("full", 27_784_659, 100.0),
        ("attention", 8_932_467, 32.14),
        ("mlp", 17_539_737, 63.12),
        ("linear", 265_305, 0.95),
        ("bitfit", 340_851, 1.22),
    ],
)
def test_the_papers_table_counts_a_head_of_345_classes_and_cuts_percentages_off(
    name: str, trained: int, percent: float
) -> None:
    model = METHODS[name].build(swin_tiny(), 10, 0)
    assert paper_parameters(model, swin_tiny()) == (trained, percent)


def test_true_flops_are_those_the_backbone_knows_of_itself() -> None:
    model = METHODS["linear"].build(swin_tiny(), 345, 0)
    assert true_flops(model) == swin_tiny().flops + 2 * 768 * 345


@pytest.mark.parametrize(
    ("name", "gflops"),
    [("adapters-sigma32", 9.067), ("adapters-n47", 9.258), ("adapters-n1", 8.731), ("adaptformer-64", 9.086)],
)
def test_what_a_method_adds_reproduces_the_papers_flops(name: str, gflops: float) -> None:
    bare, model = (METHODS[method].build(swin_tiny(), 345, 0) for method in ("linear", name))
    assert 8.695e9 < paper_flops(bare) < 8.73e9
    assert 8.72 + (paper_flops(model) - paper_flops(bare)) / 1e9 == pytest.approx(gflops, abs=5e-4)
