"""Sub-layers by our own kernels: they equal the modules, for all shapes and vector widths."""

import threading
import time
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from backbone.kernels import path_in
from backbone.kernels.bindings import Library
from backbone.layers import WindowAttention
from tests.backbone.kernels.computing import THREADS, added, assert_adapted, assert_close, output, slices, torch_threads
from tests.backbone.kernels.networks import Scale, mlp, swin


@st.composite
def attentions(draw: st.DrawFn) -> tuple[WindowAttention, Tensor]:
    """A module and its input."""
    heads, depth = draw(st.sampled_from([(1, 16), (1, 64), (2, 8), (2, 40), (3, 16), (16, 1), (16, 3)]))
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


@given(attentions(), THREADS)
@settings(deadline=None, max_examples=60)
def test_attention_equals_the_modules(library: Library, case: tuple[WindowAttention, Tensor], threads: int) -> None:
    module, x = case
    with torch_threads(threads):
        assert_close(output(library, module, x), module(x))
        assert_close(added(library, module, x), x + module(x))


@given(st.integers(0, 2000), st.integers(1, 5), st.booleans(), THREADS)
@settings(deadline=None, max_examples=40)
def test_the_mlp_equals_the_modules(library: Library, tokens: int, sixteens: int, scaled: bool, threads: int) -> None:
    module = mlp(16, 16 * sixteens, Scale(16) if scaled else None)
    x = torch.randn(tokens, 16)
    with torch_threads(threads):
        assert_close(output(library, module, x), module(x))
        assert_close(added(library, module, x), x + module(x))


@given(st.data(), st.integers(1, 9), st.integers(1, 300), THREADS)
@settings(deadline=None, max_examples=60)
def test_adapters_behind_an_mlp_equal_pytorchs_operators(
    library: Library, data: st.DataObject, images: int, tokens: int, threads: int
) -> None:
    module, x, live = mlp(16, 32), torch.randn(images, tokens, 16), data.draw(slices(images, 16))
    with torch_threads(threads):
        assert_adapted(library, module, x, live)


@given(st.data(), attentions(), THREADS)
@settings(deadline=None, max_examples=60)
def test_adapters_behind_attention_equal_pytorchs_operators(
    library: Library, data: st.DataObject, case: tuple[WindowAttention, Tensor], threads: int
) -> None:
    module, x = case
    live = data.draw(slices(len(x), x.shape[-1]))
    with torch_threads(threads):
        assert_adapted(library, module, x, live)


def test_gelu_is_exact_over_all_magnitudes_and_keeps_nan(library: Library) -> None:
    x = torch.cat([torch.linspace(-12, 12, 16000), torch.logspace(-30, 30, 16000), -torch.logspace(-30, 30, 16000)])
    torch.testing.assert_close(gelu(library, x), functional.gelu(x), rtol=1e-6, atol=2e-6)
    assert gelu(library, torch.tensor([torch.nan])).isnan().all()


def gelu(library: Library, x: Tensor) -> Tensor:
    """GELU of `x` (n), by an MLP that passes on nothing but the bias of its first layer, 512 of them at a time."""
    module, token, results = mlp(512, 512), torch.zeros(1, 1, 512), []
    module.fc1.weight.zero_()
    module.fc2.weight.copy_(torch.eye(512))
    module.fc2.bias.zero_()
    for part in functional.pad(x, (0, -len(x) % 512)).split(512):
        module.fc1.bias.copy_(part)
        results.append(output(library, module, token).flatten())
    return torch.cat(results)[: len(x)]


def test_scores_far_apart_and_not_finite_do_as_they_do_in_pytorch(library: Library) -> None:
    with torch.no_grad():
        module = swin(img_size=32, embed_dim=16).sites[0].branch
        assert isinstance(module, WindowAttention)
        module.qkv.weight.mul_(1000)  # softmax of scores in the hundreds is all but a choice
        x = torch.randn(2, 8, 8, 16)
        x[1, 1, 2, 3] = torch.nan
        out = output(library, module, x)
        torch.testing.assert_close(out, module(x), rtol=1e-4, atol=1e-3, equal_nan=True)
    assert out[0].isfinite().all()
    assert out[1].isnan().any()


def test_more_tokens_than_a_piece_has_give_the_same(library: Library) -> None:
    network = swin(img_size=128)  # 1,024 tokens an image
    x = torch.randn(8, 32, 32, 16)
    with torch.inference_mode():
        for site in network.sites:
            torch.testing.assert_close(output(library, site.branch, x), site.branch(x), rtol=0, atol=1e-5)


def test_other_threads_go_on_while_a_kernel_runs(folder: Path) -> None:
    library, module, x = Library(path_in(folder)), mlp(64, 256), torch.randn(100_000, 64)
    with Beating() as beats:
        start = time.monotonic()
        output(library, module, x)
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
