"""Errors raised while a backbone is chosen, built or loaded, and while an image is decoded.

BackboneError
├── UnknownBackbone        no such timm architecture
├── UnsupportedBackbone    timm builds it, but it is not a flat list of the sub-layers known here
├── WeightsUnavailable     pretrained weights cannot be had (no network, no weights published)
└── WeightsInvalid         a weights file is unreadable or does not fit the architecture

ImageError
├── UnsupportedFormat      none of the accepted formats, judged by the bytes
├── UnsupportedMode        samples that no decoder here reads, such as 12-bit JPEG
├── ImageTooLarge          more bytes or pixels than the limits allow, judged before decoding
├── ImageTooCostly         more work to decode than the limits allow, judged before decoding
└── BadImage               truncated, corrupt, or of a shape that cannot be an image
"""


class BackboneError(Exception):
    """Base of every error about a backbone."""


class UnknownBackbone(BackboneError):
    """No architecture of this name exists in timm."""


class UnsupportedBackbone(BackboneError):
    """The architecture has a part that no sub-layer here computes; adapting it would give wrong numbers."""


class WeightsUnavailable(BackboneError):
    """Pretrained weights could not be downloaded or are not published for this architecture."""


class WeightsInvalid(BackboneError):
    """A weights file is missing, unreadable, or does not fit the architecture."""


class ImageError(Exception):
    """Base of every error about an encoded image; the message never repeats the input."""


class UnsupportedFormat(ImageError):
    """The bytes are not an image of an accepted format."""


class UnsupportedMode(ImageError):
    """The samples are of a kind that is not read, such as 12-bit JPEG."""


class ImageTooLarge(ImageError):
    """The image has more bytes or pixels than the limits allow."""


class ImageTooCostly(ImageError):
    """The image, or all images of a request together, would take more work to decode than the limits allow."""


class BadImage(ImageError):
    """The image is truncated, corrupt, or too thin to be one."""
