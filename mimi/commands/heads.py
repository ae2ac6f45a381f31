"""A task adapter file made from another: `mimi add-class`, `mimi statistics` which it needs, and `mimi compress`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimi.commands.files import Network
from mimi.parameters import Json

if TYPE_CHECKING:
    from backbone import Backbone
    from training.pixels import PixelSet

Out = Annotated[Path, typer.Option("--out", "-o", metavar="NEW", help="where to write the new file")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="a task adapter file")]
_IMAGES = "a folder of its images, or whatever `mimi predict` takes for one"


def add_class(
    file: File,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="of the new class")],
    images: Annotated[str, typer.Argument(metavar="FOLDER", help=_IMAGES)],
    out: Out,
    network: Annotated[Network, "Backbone"],
    json: Json = False,
) -> int:
    """Add a class to a task adapter file, from its images alone: the head is computed again, adapters stay.

    The file needs the statistics of its features, as `mimi train --statistics` and `mimi statistics` write them.
    """
    from adapters_store import unpack
    from mimi.files import read_file, write_file
    from mimi.terminal import print_json
    from training.head import add_class as add

    data = read_file(file)
    backbone = _backbone(data, network)
    pixels = _pixels(images, backbone)
    made = add(data, label, pixels, backbone)
    write_file(out, made)
    labels = unpack(made).manifest.labels
    if json:
        print_json({"file": str(out), "labels": list(labels), "images": len(pixels)})
    else:
        print(f"{out}: {len(labels)} classes, the new one {label!r} from {len(pixels)} images")
        print("its accuracy is not known: thresholds and figures of validation were of the old head, and are dropped")
    return 0


def statistics(
    file: File,
    data: Annotated[str, typer.Argument(metavar="DATA", help="the labelled images that the task was trained on")],
    out: Out,
    network: Annotated[Network, "Backbone"],
    json: Json = False,
) -> int:
    """Put the statistics of its features into a task adapter file, so that classes can be added to it later.

    Head, adapters and answers stay as they are. The labels of the data must be those of the file.
    """
    from mimi.files import read_file, write_file
    from mimi.terminal import print_json, say
    from training.data import load_data
    from training.head import with_statistics
    from training.options import MiMiOptions
    from training.prepare import prepare

    found = read_file(file)
    backbone = _backbone(found, network)
    options = MiMiOptions()
    prepared = prepare(
        load_data(data), backbone.preprocessing, validation=options.validation, seed=options.seed, say=say
    )
    made = with_statistics(found, prepared, backbone)
    write_file(out, made)
    images, more = len(prepared.train), len(made) - len(found)
    if json:
        print_json({"file": str(out), "images": images, "bytes": len(made), "bytes_added": more})
    else:
        print(f"{out}: statistics of {images:,} images, {more:,} bytes more")
    return 0


def compress(
    file: File,
    out: Out,
    network: Annotated[Network, "Backbone"],
    bits: Annotated[int, typer.Option(min=1, max=8, help="of a weight of the adapters and the head")] = 4,
    side: Annotated[int, typer.Option(min=1, max=96, help="pixels that a side of the golden image has at most")] = 32,
    json: Json = False,
) -> int:
    """Store a task adapter file in 1 to 8 bits a weight. A server decodes it when it is loaded, and computes as before.

    The golden sample is computed again. Accuracies are dropped: they were measured with the weights before rounding.
    """
    from mimi.files import read_file, write_file
    from mimi.terminal import print_json
    from training.compress import compressed

    data = read_file(file)
    made = compressed(data, bits, _backbone(data, network), side=side)
    write_file(out, made)
    if json:
        print_json({"file": str(out), "bits": bits, "bytes": len(made), "bytes_before": len(data)})
    else:
        print(f"{out}: {len(made):,} bytes instead of {len(data):,}, {bits} bits a weight")
        print("its accuracy is not known: figures of the old weights are dropped; measure it on images with labels")
    return 0


def _backbone(data: bytes, network: Network) -> "Backbone":
    """The frozen network that a file was made for.

    Raises:
        BadOption: the file was made for other weights.
    """
    from adapters_store import unpack
    from backbone import load_backbone
    from mimi.errors import BadOption
    from training.prepare import with_resize

    manifest = unpack(data).manifest
    found = load_backbone(network.backbone or manifest.backbone.name, weights=network.weights)
    if found.fingerprint != manifest.backbone.fingerprint:
        raise BadOption("the file was made for a backbone with other weights: name them with --weights")
    return with_resize(found, "squash" if manifest.preprocessing.get("resize") == "squash" else "crop")


def _pixels(words: str, backbone: "Backbone") -> "PixelSet":
    """All images of a folder, as the backbone reads them.

    Raises:
        BadOption: one cannot be decoded.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import torch

    from backbone import ImageError
    from backbone.images import decode
    from mimi.errors import BadOption
    from mimi.images import Columns, Picture, find_images
    from training.pixels import PixelSet

    def read(picture: Picture) -> np.ndarray:
        try:
            return backbone.preprocessing.pixels(decode(picture.read()))
        except ImageError as error:
            raise BadOption(f"{picture.name}: {error}") from error

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(read, find_images([words], Columns())))
    return PixelSet(torch.from_numpy(np.stack(found)), torch.zeros(len(found), dtype=torch.int64))
