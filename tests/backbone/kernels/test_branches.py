"""Sub-layers over kernels of our own: whatever the shapes and the lanes, they give what the modules give."""

import threading
import time
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from backbone.kernels import path_in
from backbone.kernels.bindings import Library, Windows
from backbone.kernels.branches import FastMlp, FastWindowAttention, fast
from backbone.layers import Mlp, WindowAttention
from tests.backbone.kernels.networks import swin


@st.composite
def attentions(draw: st.DrawFn) -> tuple[WindowAttention, Tensor]:
    """A module and what enters it."""
    heads, depth = draw(st.integers(1, 3)), draw(st.integers(1, 70))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    down, across = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    shifted, images = draw(st.booleans()), draw(st.integers(1, 3))
    tokens, channels = height * width, heads * depth
    module = WindowAttention(
        nn.LayerNorm(channels),
        nn.Linear(channels, 3 * channels),
        nn.Linear(channels, channels),
        position=(nn.Parameter(torch.randn(tokens**2, heads)), torch.arange(tokens**2).view(tokens, tokens)),
        window=(height, width),
        shift=(
            (height // 2, width // 2) if shifted else (0, 0),
            torch.zeros(down * across, tokens, tokens).bernoulli_(0.2) * -100 if shifted else None,
        ),
    )
    return module.requires_grad_(requires_grad=False), torch.randn(images, down * height, across * width, channels)


@given(attentions())
@settings(deadline=None, max_examples=60)
def test_attention_equals_the_modules(library: Library, case: tuple[WindowAttention, Tensor]) -> None:
    module, x = case
    torch.testing.assert_close(FastWindowAttention(module, library)(x), module(x), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 4000), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_the_mlp_equals_the_modules(library: Library, tokens: int, sixteens: int) -> None:
    module = Mlp(nn.LayerNorm(8), nn.Linear(8, 16 * sixteens), nn.GELU(), nn.Linear(16 * sixteens, 8))
    module.requires_grad_(requires_grad=False)
    x = torch.randn(tokens, 8)
    torch.testing.assert_close(FastMlp(module, library)(x), module(x), rtol=1e-5, atol=1e-5)


def test_gelu_is_exact_over_all_magnitudes_and_keeps_nan(library: Library) -> None:
    bias = torch.zeros(16)
    x = torch.cat([torch.linspace(-12, 12, 16000), torch.logspace(-30, 30, 16000), -torch.logspace(-30, 30, 16000)])
    given = x.clone().view(-1, 16)
    library.bias_gelu_(given, bias)
    torch.testing.assert_close(given.view(-1), functional.gelu(x), rtol=1e-6, atol=2e-6)
    special = torch.tensor([torch.nan, torch.inf, 0.0, -0.0] * 4).view(1, 16)
    library.bias_gelu_(special, bias)
    assert special.isnan().view(-1, 4)[:, 0].all()
    assert (special.view(-1, 4)[:, 1:] == torch.tensor([torch.inf, 0.0, 0.0])).all()


def test_scores_far_apart_and_not_finite_do_as_they_do_in_pytorch(library: Library) -> None:
    qkv = 200 * torch.randn(2, 4, 4, 3 * 8)  # softmax of scores in the hundreds is all but a choice
    qkv[1, 1, 2, 3] = torch.nan
    out, bias = torch.empty(2, 4, 4, 8), torch.zeros(1, 16, 16)
    library.window_attention(qkv, torch.zeros(24), library.pad(bias), Windows(1, 8, 4, 4, 0, 0), out)
    q, k, v = qkv.view(2, 16, 3, 8).unbind(2)
    expected = functional.scaled_dot_product_attention(q, k, v).view(2, 4, 4, 8)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-3, equal_nan=True)
    assert out[0].isfinite().all()
    assert out[1].isnan().any()


def test_more_images_than_fit_the_cache_at_once_give_the_same(library: Library) -> None:
    network = swin(img_size=128)  # 1,024 tokens an image, so three are computed together
    x = torch.randn(8, 32, 32, 16)
    with torch.inference_mode():
        for site in network.sites:
            branch = fast(site.branch, library)
            assert branch is not None
            torch.testing.assert_close(branch(x), site.branch(x), rtol=0, atol=1e-5)


def test_what_the_kernels_do_not_compute_is_left_to_its_module(library: Library) -> None:
    linear = (nn.Linear(8, 16), nn.Linear(16, 8))
    for act in (nn.ReLU(), nn.GELU(approximate="tanh")):
        assert fast(Mlp(nn.LayerNorm(8), linear[0], act, linear[1]), library) is None
    assert fast(swin(img_size=128, window_size=32).sites[0].branch, library) is None
    assert fast(swin(qkv_bias=False).sites[0].branch, library) is None


def test_other_threads_go_on_while_a_kernel_runs(folder: Path) -> None:
    library, x, bias = Library(path_in(folder)), torch.randn(100_000, 512), torch.zeros(512)
    with Beating() as beats:
        start = time.monotonic()
        library.bias_gelu_(x, bias)
        took = time.monotonic() - start
        inside = [beat for beat in beats if start < beat < start + took]
    assert inside, f"no other thread ran during {took:.3f} s"


class Beating:
    """A thread that writes down the time as often as it gets to run."""

    def __enter__(self) -> list[float]:
        self._beats: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self._beats

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(0.0005):
            self._beats.append(time.monotonic())
