"""Compiled sub-layers: made once by the real compiler, then equal to the modules they stand for."""

import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

from backbone import Backbone, flatten
from backbone.compiled import Cache, CompilerMissing, ProgramUnusable
from backbone.compiled.kinds import kinds_of
from backbone.compiled.program import CompiledBranch, Program, check

pytestmark = pytest.mark.timeout(1200)  # the first test that asks for programs waits for the compiler


def small_swin(seed: int) -> Backbone:
    """Two blocks, the second with shifted windows: three kinds of sub-layer."""
    torch.manual_seed(seed)
    model = SwinTransformer(img_size=32, patch_size=4, embed_dim=16, depths=(2,), num_heads=(2,), window_size=4)
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    model.reset_classifier(0)
    return flatten("small_swin", model)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """With every program of the small Swin."""
    cache = Cache(tmp_path_factory.mktemp("programs"))
    made = list(cache.fill(small_swin(seed=0)))
    assert [kind.site.index for kind in made] == [0, 1, 2]  # the second MLP is of the first one's kind
    return cache


@pytest.fixture
def network() -> Backbone:
    """Of the same architecture, with other weights than the programs were made with."""
    return small_swin(seed=1)


def test_every_sub_layer_gives_what_its_module_gives_at_every_batch_size(cache: Cache, network: Backbone) -> None:
    loaded = cache.load(network)
    assert (loaded.compiled, loaded.problems) == (4, ())
    for images in (1, 2, 7):
        x = torch.randn(images, 8, 8, 16)
        for site, branch in zip(network.sites, loaded.branches, strict=True):
            with torch.inference_mode():
                torch.testing.assert_close(branch(x), site.branch(x), rtol=0, atol=1e-5)


def test_what_enters_need_not_be_contiguous(cache: Cache, network: Backbone) -> None:
    x = torch.randn(2, 16, 8, 8).permute(0, 2, 3, 1)
    with torch.inference_mode():
        for site, branch in zip(network.sites, cache.load(network).branches, strict=True):
            torch.testing.assert_close(branch(x), site.branch(x), rtol=0, atol=1e-5)


def test_nothing_is_made_twice(cache: Cache, network: Backbone) -> None:
    assert cache.missing(network) == []
    assert list(cache.fill(network)) == []


def test_neither_what_enters_nor_what_leaves_is_kept(cache: Cache, network: Backbone) -> None:
    branch, process = cache.load(network).branches[1], psutil.Process()
    size = torch.empty(1024, 8, 8, 16).nbytes

    def call() -> None:
        branch(torch.randn(1024, 8, 8, 16))

    for _ in range(10):
        call()
    before = process.memory_info().rss
    for _ in range(100):
        call()
    assert process.memory_info().rss - before < 20 * size


def test_other_threads_go_on_while_a_program_runs(cache: Cache, network: Backbone) -> None:
    branch, x = cache.load(network).branches[0], torch.randn(4096, 8, 8, 16)
    with beating() as beats:
        start = time.monotonic()
        branch(x)
        took = time.monotonic() - start
        inside = [beat for beat in beats if start < beat < start + took]
    assert inside, f"no other thread ran during {took:.3f} s"


class beating:
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


def test_a_kind_does_not_depend_on_the_weights_but_on_everything_else(network: Backbone) -> None:
    ours, same = kinds_of(network), kinds_of(small_swin(seed=2))
    assert [kind.digest for kind in ours] == [kind.digest for kind in same]
    attention, mlp, shifted, other_mlp = (kind.digest for kind in ours)
    assert len({attention, mlp, shifted}) == 3
    assert mlp == other_mlp
    network.sites[1].branch.norm.eps = 0.5  # type: ignore[union-attr]
    assert kinds_of(network)[1].digest != mlp


@pytest.fixture
def damaged(cache: Cache, network: Backbone, tmp_path: Path) -> tuple[Cache, list[Path]]:
    """A copy of the cache whose files a test may damage."""
    copy = Cache(tmp_path)
    paths = []
    for kind in kinds_of(network)[:3]:
        path = copy.path(kind)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cache.path(kind).read_bytes())
        paths.append(path)
    return copy, paths


def test_a_file_that_is_no_library_is_left_aside(damaged: tuple[Cache, list[Path]], network: Backbone) -> None:
    cache, (attention, mlp, _) = damaged
    attention.write_bytes(b"not a library")
    mlp.write_bytes(b"")
    loaded = cache.load(network)
    assert loaded.compiled == 1  # shifted attention alone
    assert [problem.split(" cannot")[0] for problem in loaded.problems] == [attention.name, mlp.name]
    assert loaded.branches[1] is network.sites[1].branch


def test_a_program_that_gives_something_else_is_refused(cache: Cache, network: Backbone) -> None:
    plain = kinds_of(network)[0]
    weights = [*plain.site.branch.parameters(), *plain.site.branch.buffers()]
    doubled = [2 * tensor if tensor.is_floating_point() else tensor for tensor in weights]
    wrong = CompiledBranch(Program(cache.path(plain)), doubled)
    with pytest.raises(ProgramUnusable, match="does not give"):
        check(wrong, plain.site.branch, plain.shape)


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, network: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerMissing, match="install g"):
        next(Cache(tmp_path).fill(network))
    assert not list(tmp_path.rglob("*.so"))
