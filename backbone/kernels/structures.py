"""The structures that describe a network to the compiled kernels: those of kernels.cpp, field by field.

`described` gives names, sizes and offsets of all fields. A library gives the same text of its own structures, and one
that differs is refused before it is called.
"""

import ctypes

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int64


class Norm(ctypes.Structure):
    """Weight (C), bias (C) and epsilon of a LayerNorm."""

    _fields_ = [("weight", POINTER), ("bias", POINTER), ("epsilon", ctypes.c_double)]


class Linear(ctypes.Structure):
    """Panels of the weight as `Library.linear` gives them, bias (out); the width of a panel, and its format.

    Weights in int8 have a scale (out), and what is added to their sums (out), of four bytes each; both are null
    otherwise.
    """

    _fields_ = [
        *((name, POINTER) for name in ("panels", "bias", "scales", "offsets")),
        *((name, NUMBER) for name in ("inputs", "outputs", "wide", "format")),
    ]


class Stem(ctypes.Structure):
    """A layer from the pixels of a patch to a token, a norm, and the side of a patch in pixels."""

    _fields_ = [("patch", Linear), ("norm", Norm), ("side", NUMBER)]


class Mlp(ctypes.Structure):
    """An MLP branch; `scale` (C) may be null."""

    _fields_ = [("norm", Norm), ("up", Linear), ("down", Linear), ("scale", POINTER)]


class Windows(ctypes.Structure):
    """How maps of `heads` · `depth` channels are cut into windows, and how far these are shifted.

    With a window height of 0 one window is the whole map.
    """

    _fields_ = [
        (name, NUMBER) for name in ("heads", "depth", "window_height", "window_width", "shift_down", "shift_right")
    ]


class Attention(ctypes.Structure):
    """An attention branch; `scale` (C) may be null.

    `bias` as `Library.pad` gives it, or null if nothing is added to scores; `groups` 1 or the windows of a map.
    """

    _fields_ = [
        ("norm", Norm),
        ("qkv", Linear),
        ("proj", Linear),
        ("scale", POINTER),
        ("bias", POINTER),
        ("groups", NUMBER),
        ("windows", Windows),
    ]


class Merging(ctypes.Structure):
    """Patch merging: of four tokens (4C) one (2C); the reduction has no bias."""

    _fields_ = [("norm", Norm), ("reduction", Linear)]


class Adapter(ctypes.Structure):
    """Both matrices, the width, and the images that it acts on: the first, and how many."""

    _fields_ = [("down", POINTER), ("up", POINTER), ("width", NUMBER), ("first", NUMBER), ("images", NUMBER)]


class Ending(ctypes.Structure):
    """The last operations on a branch's output; see `sum_of`."""

    _fields_ = [("adapters", ctypes.POINTER(Adapter)), ("count", NUMBER), ("added", ctypes.c_bool)]


OUTPUT = Ending(None, 0, False)  # nothing
ADDED = Ending(None, 0, True)  # the branch's input is added


class Step(ctypes.Structure):
    """A sub-layer or a part of it: a merging or null, one of the two branches or none, and the ending."""

    _fields_ = [
        ("merging", ctypes.POINTER(Merging)),
        ("mlp", ctypes.POINTER(Mlp)),
        ("attention", ctypes.POINTER(Attention)),
        ("ending", Ending),
    ]

    memory: tuple[object, ...] = ()  # what the pointers point into

    def ending_in(self, ending: Ending) -> "Step":
        """The same with another ending; the original keeps the memory."""
        return Step(self.merging, self.mlp, self.attention, ending)

    def only_branch(self, ending: Ending) -> "Step":
        """The same step without the merging."""
        return Step(None, self.mlp, self.attention, ending)

    def only_merging(self) -> "Step":
        """The same step without the branch."""
        return Step(self.merging, None, None, OUTPUT)


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Norm,
    Linear,
    Stem,
    Mlp,
    Windows,
    Attention,
    Merging,
    Adapter,
    Ending,
    Step,
)


def described() -> str:
    """A line for each structure: its name and size, and name, offset and size of each field in order."""
    return "".join(f"{', '.join([_sized(each), *_fields_of(each)])}\n" for each in STRUCTURES)


def _sized(structure: type[ctypes.Structure]) -> str:
    return f"{structure.__name__} {ctypes.sizeof(structure)}"


def _fields_of(structure: type[ctypes.Structure]) -> list[str]:
    fields = [(field[0], getattr(structure, field[0])) for field in structure._fields_]
    return [f"{name} {field.offset} {field.size}" for name, field in fields]
