"""Writing a model to a file: whole, and with its weights in a second file where one cannot hold them."""

from pathlib import Path

import onnx

ONE_FILE_BYTES = 2**31 - 2**20  # a protocol buffer ends at 2 GiB; the rest is room for what is not weights


def save(model: onnx.ModelProto, path: Path, *, one_file_bytes: int = ONE_FILE_BYTES) -> list[Path]:
    """Write a model; returns the files written, the model itself first.

    Args:
        model: is changed where its weights leave it.
        path: of the model; weights that do not fit into it lie beside it as `NAME.data`, and belong to it.
        one_file_bytes: most bytes of weights in the model's own file.

    Raises:
        OSError: the files cannot be written.
    """
    weights = path.with_name(f"{path.name}.data")
    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > one_file_bytes
    weights.unlink(missing_ok=True)  # ONNX would add to the end of what is there
    if apart:
        onnx.external_data_helper.convert_model_to_external_data(model, location=weights.name, size_threshold=1024)
    part = path.with_name(f".{path.name}.part")
    onnx.save_model(model, part)
    part.replace(path)  # a reader sees the old model or the new one, never half of it
    return [path, weights] if apart else [path]
