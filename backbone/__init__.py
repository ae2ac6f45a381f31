"""Frozen vision transformers as flat lists of sub-layers, and what training and serving share about them."""

from backbone.adapter import (
    Reference,
    SiteWeights,
    adapt,
    adapter_flops,
    flops_of,
    neuron_flops,
    reference_logits,
    reference_outputs,
)
from backbone.errors import BackboneError, ImageError
from backbone.images import ImageLimits, decode, from_pixels
from backbone.known import KnownFeatures, known_features, unknown_scores
from backbone.loading import BUNDLED, SHIPPED, flatten, load_backbone, shipped, shipped_config
from backbone.network import Adapt, Backbone, SubLayer
from backbone.preprocessing import Preprocessing

__all__ = [
    "BUNDLED",
    "SHIPPED",
    "Adapt",
    "Backbone",
    "BackboneError",
    "ImageError",
    "ImageLimits",
    "KnownFeatures",
    "Preprocessing",
    "Reference",
    "SiteWeights",
    "SubLayer",
    "adapt",
    "adapter_flops",
    "decode",
    "flatten",
    "flops_of",
    "from_pixels",
    "known_features",
    "load_backbone",
    "neuron_flops",
    "reference_logits",
    "reference_outputs",
    "shipped",
    "shipped_config",
    "unknown_scores",
]
