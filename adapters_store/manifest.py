"""What a task adapter says about itself: plain immutable records. `manifest_text` reads and checks them."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters_store.strict_json import Json

FORMAT_VERSION = 1
PLACEMENT = "series"
ACTIVATION = "gelu"


@dataclass(frozen=True, slots=True)
class BackboneRef:
    """The frozen network that the adapter was trained on: its name and its 64-digit fingerprint."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the adapter was made and what it costs.

    Compression is sigma = 4M/N in the paper's convention, `pruning_fraction` its rho; `epochs` is the total over all
    cycles; `flops` count this task's whole forward pass for one image.
    """

    method: str
    dataset: str
    seed: int
    cycles: int
    epochs: int
    initial_compression: float
    target_compression: float
    pruning_fraction: float
    initial_widths: tuple[int, ...]  # N_i before pruning, for all sites
    adapter_parameters: int
    head_parameters: int
    flops: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a task adapter but its tensors."""

    backbone: BackboneRef
    widths: tuple[int, ...]  # N_i for all sites, 0 where removed
    labels: tuple[str, ...]
    preprocessing: Mapping[str, Json]
    preprocessing_sha256: str
    provenance: Provenance
    description: str = ""
    placement: str = PLACEMENT
    activation: str = ACTIVATION
    format_version: int = FORMAT_VERSION

    @property
    def live_sites(self) -> tuple[int, ...]:
        """The sites that kept at least one neuron, in order."""
        return tuple(site for site, width in enumerate(self.widths) if width)
