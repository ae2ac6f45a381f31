"""Errors raised while a backbone is chosen, built or loaded, and while an image is decoded.

BackboneError
├── UnknownBackbone        no such timm architecture
├── UnsupportedBackbone    timm builds it, but some of its sub-layers are not known here
├── WeightsUnavailable     pretrained weights cannot be downloaded, or none are published
└── WeightsInvalid         a weights file is unreadable or does not fit the architecture

ImageError
├── UnsupportedFormat      none of the accepted formats, judged by the bytes
├── UnsupportedMode        samples that no decoder here reads, such as 12-bit JPEG
├── ImageTooLarge          more bytes or pixels than the limits allow, judged before decoding
├── ImageTooCostly         more work to decode than the limits allow, judged before decoding
└── BadImage               truncated, corrupt, or of a shape that cannot be an image

`title` says in one sentence what a class of errors means, for users.
"""

from typing import ClassVar


class BackboneError(Exception):
    """Base of every error about a backbone."""

    title: ClassVar[str] = "The backbone cannot be used."


class UnknownBackbone(BackboneError):
    """Raised for a name that neither timm nor this package knows."""

    title = "There is no backbone of this name."


class UnsupportedBackbone(BackboneError):
    """Raised for an architecture with a part that no sub-layer here computes."""

    title = "The backbone has a part that is not supported."


class WeightsUnavailable(BackboneError):
    """Raised when pretrained weights could not be downloaded or are not published for this architecture."""

    title = "The backbone's weights could not be obtained."


class WeightsInvalid(BackboneError):
    """Raised for a weights file that is missing, unreadable, or does not fit the architecture."""

    title = "The file of weights is missing, unreadable, or for another architecture."


class ImageError(Exception):
    """Base of every error about an encoded image; the message never repeats the input."""

    title: ClassVar[str] = "The image cannot be used."


class UnsupportedFormat(ImageError):
    """Raised when the bytes are of another format."""

    title = "The bytes are not an image of an accepted format."


class UnsupportedMode(ImageError):
    """Raised for samples that no decoder here reads, such as 12-bit JPEG."""

    title = "The image's samples are of a kind that is not supported."


class ImageTooLarge(ImageError):
    """Raised before decoding."""

    title = "The image has more bytes or pixels than the limits allow."


class ImageTooCostly(ImageError):
    """Raised before decoding, for one image or for all images of a request together."""

    title = "Decoding would take more work than the limits allow."


class BadImage(ImageError):
    """Raised when decoding fails."""

    title = "The image is truncated, corrupt, or too thin."
