"""Libraries that are loaded from a folder or refused, and their compilation."""

import pwd
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from backbone.kernels import CompilerMissing, KernelError, KernelsUnusable, build, default_folder, level, load, path_in
from backbone.kernels.structures import described
from backbone.layers import WindowAttention
from tests.backbone.kernels.networks import eva, swin, vit


def test_what_enters_may_lie_in_any_order_and_stays_as_it_is(folder: Path) -> None:
    network = swin()
    x = torch.randn(2, 16, 8, 8).permute(0, 2, 3, 1)
    before = x.clone()
    with torch.inference_mode():
        compiled = load(network, folder)
        for site in network.sites:
            torch.testing.assert_close(compiled.branch(site.index, x), site.branch(x), rtol=0, atol=1e-5)
        compiled.advance(x, 0, len(network.sites))
    assert torch.equal(x, before)


def test_a_vit_is_computed_whole_with_its_layer_scale(folder: Path) -> None:
    assert load(vit(), folder).compiled == 4  # what `load` uses it has compared


def test_rotary_attention_is_left_to_its_module_and_the_mlps_are_not(folder: Path) -> None:
    network = eva()
    compiled = load(network, folder)
    assert compiled.compiled == 2
    x = torch.randn(2, 17, 32)
    with torch.inference_mode():
        torch.testing.assert_close(compiled.advance(x.clone(), 0, 4), network.advance(x, 0), rtol=0, atol=1e-5)


def test_without_a_library_the_modules_compute(tmp_path: Path) -> None:
    network = swin()
    plain = load(network, tmp_path)
    assert plain.compiled == 0
    x = torch.randn(1, 8, 8, 16)
    assert torch.equal(plain.branch(0, x), network.sites[0].branch(x))


@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_file_that_is_no_library_is_refused(tmp_path: Path, content: bytes) -> None:
    path_in(tmp_path).write_bytes(content)
    with pytest.raises(KernelsUnusable, match="cannot be loaded"):
        load(swin(), tmp_path)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Norm 24, weight 0 8, bias 8 8", "Norm 24, bias 0 8, weight 8 8"),  # another order
        ("epsilon 16 8", "epsilon 16 4"),  # another size
        ("added 16 1", "added 20 1"),  # another offset
        ("Step ", "Stop "),
    ],
)
def test_a_library_with_other_structures_is_refused_before_it_is_called(tmp_path: Path, ours: str, theirs: str) -> None:
    assert ours in described()
    text = described().replace(ours, theirs).replace("\n", "\\n")
    source = tmp_path / "other.cpp"  # it has nothing else that could be called
    source.write_text(f'extern "C" const char *mimi_structures() {{ return "{text}"; }}', encoding="ascii")
    subprocess.run(["c++", "-shared", "-fPIC", str(source), "-o", str(path_in(tmp_path))], check=True)
    with pytest.raises(KernelsUnusable, match="made for other structures"):
        load(swin(), tmp_path)


def test_a_library_that_gives_something_else_is_refused(folder: Path) -> None:
    network = swin()
    network.sites[0].branch.bias.add_(1 + torch.rand(16, 16))  # type: ignore[operator]
    shifted = network.sites[2].branch
    assert isinstance(shifted, WindowAttention)
    shifted.shift = (1, 2)
    assert load(network, folder).compiled == 4  # the module says what is right
    shifted.forward = lambda x: 1.01 * WindowAttention.forward(shifted, x)  # type: ignore[method-assign]
    with pytest.raises(KernelsUnusable, match="what sub-layer 2 gives"):
        load(network, folder)


def test_its_threads_are_pytorchs_own(folder: Path) -> None:
    code = f"""
from pathlib import Path
from backbone.kernels import load
from tests.backbone.kernels.networks import swin
assert load(swin(), Path({str(folder)!r})).compiled
print(len({{line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line or "libomp" in line}}))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerMissing, match="install g"):
        build(tmp_path / "kernels", level())
    assert not (tmp_path / "kernels").exists()


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="LANES"):
        build(tmp_path, level(), defines=["LANES=nonsense"])
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_user: int) -> None:
        raise KeyError("no passwd entry")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(KernelError, match="this user has no home folder"):
        default_folder()
