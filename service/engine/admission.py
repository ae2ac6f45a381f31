"""Whether a task adapter fits this engine's backbone. Looks at shapes and hashes only; golden.py looks at answers."""

from adapters_store import TaskAdapter
from backbone import Backbone
from service.engine.errors import BackboneMismatch, FeatureMismatch, PreprocessingMismatch, WidthMismatch


def check(backbone: Backbone, adapter: TaskAdapter) -> None:
    """Refuse an adapter made for something else.

    Raises:
        BackboneMismatch: another frozen network; names both fingerprints.
        PreprocessingMismatch: other preprocessing; names both hashes.
        WidthMismatch: another number of sites, or an adapter of another input size.
        FeatureMismatch: a head for feature vectors of another length.
    """
    manifest = adapter.manifest
    ours = (backbone.name, backbone.fingerprint)
    theirs = (manifest.backbone.name, manifest.backbone.fingerprint)
    if ours != theirs:
        raise BackboneMismatch("backbone", expected="{} {}".format(*ours), found="{} {}".format(*theirs))
    if manifest.preprocessing_sha256 != backbone.preprocessing.sha256:
        raise PreprocessingMismatch(
            "preprocessing", expected=backbone.preprocessing.sha256, found=manifest.preprocessing_sha256
        )
    _check_shapes(backbone, adapter)


def _check_shapes(backbone: Backbone, adapter: TaskAdapter) -> None:
    for widths in (adapter.manifest.widths, adapter.manifest.provenance.initial_widths):
        if len(widths) != len(backbone.sites):
            raise WidthMismatch("number of sites", expected=len(backbone.sites), found=len(widths))
    for site in backbone.sites:
        if site.index in adapter.sites and (found := adapter.sites[site.index].down.shape[1]) != site.dim:
            raise WidthMismatch(f"channels at site {site.index}", expected=site.dim, found=found)
    if (found := adapter.head_weight.shape[1]) != backbone.feature_dim:
        raise FeatureMismatch("features", expected=backbone.feature_dim, found=found)
