"""`mimi inspect FILE` and `mimi verify FILE...`: what is in a task adapter file, and whether a server would take it."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimi.parameters import Json

if TYPE_CHECKING:
    from adapters_store import Manifest
    from service.engine import Engine
    from service.tasks.uploads import CheckList

_GIGA = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The frozen network that a file was made for.

    Attributes:
        backbone: a timm architecture; none: the one that the file names.
        weights: a safetensors file with the backbone's weights.
    """

    backbone: str | None = None
    weights: Path | None = None


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a task adapter file")],
    json: Json = False,
) -> int:
    """Show what is in a task adapter file: neurons at each site, size, cost, labels, and how it was made.

    The file is checked as far as that needs no backbone's weights. `mimi verify` makes all checks.
    """
    from adapters_store import digest, unpack
    from mimi.files import read_file
    from mimi.terminal import print_json, working

    data = read_file(file)
    manifest = unpack(data).manifest
    with working("counting"):
        facts = {**_facts(manifest), "bytes": len(data), "sha256": digest(data)}
    if json:
        print_json(facts)
    else:
        _show(manifest, facts)
    return 0


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="task adapter files")],
    network: Annotated[Network, "Backbone"],
    json: Json = False,
) -> int:
    """Make every check that a server makes on an upload, the golden sample included; 1 if a file fails one."""
    from mimi.terminal import GREEN, RED, print_json, progress, styled

    found = []
    with progress(len(files), "files") as counted:
        for path in files:
            found.append(_verified(path, network))
            counted.advance(failed=not found[-1]["sound"])
    if json:
        print_json(found)
        return 0 if all(each["sound"] for each in found) else 1
    for each in found:
        print(f"{each['file']}  sha256 {each['sha256']}")
        for check in each["checks"]:
            mark = styled(f"{check['outcome']:8}", GREEN if check["outcome"] == "passed" else RED)
            print(f"  {mark} {check['name']:14} {check['detail']}".rstrip())
        print("  a server with this backbone takes it" if each["sound"] else "  a server refuses it")
    return 0 if all(each["sound"] for each in found) else 1


def _verified(path: Path, network: Network) -> dict[str, Any]:
    from adapters_store import ArtifactError, digest
    from mimi.files import read_file
    from service.engine import EngineError
    from service.tasks.uploads import CheckList

    data, checks = read_file(path), CheckList()
    failure: dict[str, str] | None = None
    try:
        _check(data, checks, network)
    except (ArtifactError, EngineError) as error:
        name = next((note.rpartition(": ")[2] for note in getattr(error, "__notes__", ())), "file")
        failure = {"name": name, "outcome": "failed", "detail": str(error)}
    listed = [asdict(check) for check in checks.done()]
    return {
        "file": str(path),
        "sha256": digest(data),
        "sound": failure is None,
        "checks": [*listed, *([failure] if failure else [])],
    }


def _check(data: bytes, checks: "CheckList", network: Network) -> None:
    """As an upload is checked."""
    from adapters_store import digest, unpack
    from service.tasks.uploads import GOLDEN

    adapter = unpack(data, step=checks)
    engine = _engine(network.backbone or adapter.manifest.backbone.name, network.weights)
    resident = engine.weights_of(adapter, digest(data), step=checks)
    golden = engine.verify(adapter, resident, step=checks)
    checks.describe(GOLDEN, f"logits differ by {golden.reference:.2g}, allowed are {golden.tolerance:.2g}")


@cache
def _engine(backbone: str, weights: Path | None) -> "Engine":
    from backbone import load_backbone
    from service.engine import Engine

    return Engine(load_backbone(backbone, weights=weights))


def _facts(manifest: "Manifest") -> dict[str, Any]:
    made, live = manifest.provenance, manifest.live_sites
    saved = _saved(manifest)
    return {
        "description": manifest.description or None,
        "backbone": manifest.backbone.name,
        "fingerprint": manifest.backbone.fingerprint,
        "labels": list(manifest.labels),
        "widths": list(manifest.widths),
        "initial_widths": list(made.initial_widths),
        "neurons": sum(manifest.widths),
        "initial_neurons": sum(made.initial_widths),
        "live_sites": len(live),
        "first_live_site": live[0] if live else None,
        "bits": manifest.low_bit.bits if manifest.low_bit else None,
        "adapter_parameters": made.adapter_parameters,
        "head_parameters": made.head_parameters,
        "gflops": made.flops / _GIGA,
        "gflops_saved": None if saved is None else saved / _GIGA,
        "method": made.method,
        "dataset": made.dataset,
        "seed": made.seed,
        "cycles": made.cycles,
        "epochs": made.epochs,
        "initial_compression": made.initial_compression,
        "target_compression": made.target_compression,
        "metrics": dict(made.metrics),
    }


def _saved(manifest: "Manifest") -> int | None:
    """FLOPs of an image that pruning saved; None if the backbone is not known here."""
    from backbone import BackboneError, adapter_flops, load_backbone

    try:
        backbone = load_backbone(manifest.backbone.name, pretrained=False)
        before, now = (adapter_flops(backbone, each) for each in (manifest.provenance.initial_widths, manifest.widths))
    except (BackboneError, ValueError):
        return None
    return before - now


def _show(manifest: "Manifest", facts: dict[str, Any]) -> None:
    from mimi.sites import neurons_chart, trunk_note
    from mimi.terminal import print_facts

    saved, spent = facts["gflops_saved"], facts["gflops"]
    share = "" if saved is None else f", {saved:.4f} saved by pruning ({100 * saved / (saved + spent):.1f} %)"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in facts["metrics"].items())
    rows = {
        "description": facts["description"] or "none",
        "labels": f"{len(manifest.labels)}: {_list(facts['labels'])}",
        "neurons": f"{facts['neurons']} of {facts['initial_neurons']}, at {facts['live_sites']} of "
        f"{len(manifest.widths)} sites",
        "size": f"{facts['bytes']:,} bytes; {facts['adapter_parameters']:,} adapter parameters, "
        f"{facts['head_parameters']:,} of the head{_low_bits(facts['bits'])}",
        "GFLOPs": f"{spent:.4f} for an image{share}",
        "accuracy": metrics or "not recorded",
        "trained": f"by {facts['method']} on {facts['dataset']}, {facts['cycles']} cycles, {facts['epochs']} epochs, "
        f"seed {facts['seed']}",
        "compression": f"{facts['initial_compression']:g} to {facts['target_compression']:g}",
        "backbone": facts["backbone"],
        "fingerprint": facts["fingerprint"],
        "sha256": facts["sha256"],
    }
    print_facts(rows)
    print(f"\n{neurons_chart(manifest.widths, manifest.provenance.initial_widths)}\n{trunk_note(manifest.widths)}")


def _low_bits(bits: int | None) -> str:
    return "" if bits is None else f"; {bits} bits a weight"


def _list(labels: list[str], most: int = 12) -> str:
    more = f", … and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
