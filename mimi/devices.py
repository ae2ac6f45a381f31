"""The device that a command computes on, from the name that a user gives."""

from mimi.errors import BadOption


def chosen_device(name: str | None) -> str:
    """`name`, or CUDA where there is a device and the CPU elsewhere.

    Raises:
        BadOption: nothing here computes on such a device, or this machine has none.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return "cuda" if count else "cpu"
    kind, colon, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or bool(colon) != number.isdecimal()):
        raise BadOption(f"--device must be cpu, cuda or cuda:NUMBER, not {name!r}")
    if kind == "cuda" and int(number or 0) >= count:
        raise BadOption(f"--device {name}: this machine has {count} CUDA devices that PyTorch can use")
    return name
