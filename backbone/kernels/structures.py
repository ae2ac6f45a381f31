"""What the compiled kernels are told of a network: the structures of kernels.cpp, in the same order."""

import ctypes

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int64


class Norm(ctypes.Structure):
    """Weight (C), bias (C) and epsilon of a LayerNorm."""

    _fields_ = [("weight", POINTER), ("bias", POINTER), ("epsilon", ctypes.c_double)]


class Linear(ctypes.Structure):
    """Panels of the weight as `Library.linear` gives them, bias (out); the width of a panel."""

    _fields_ = [
        ("panels", POINTER),
        ("bias", POINTER),
        ("inputs", NUMBER),
        ("outputs", NUMBER),
        ("wide", NUMBER),
        ("rounded", ctypes.c_bool),
    ]


class Mlp(ctypes.Structure):
    """An MLP branch; `scale` (C) may be null."""

    _fields_ = [("norm", Norm), ("up", Linear), ("down", Linear), ("scale", POINTER)]


class Windows(ctypes.Structure):
    """How maps are cut: of `heads` · `depth` channels, into windows (height, width) that are shifted down and right.

    Windows without a height are the whole map.
    """

    _fields_ = [(name, NUMBER) for name in ("heads", "depth", "height", "width", "down", "right")]


class Attention(ctypes.Structure):
    """An attention branch; `scale` (C) may be null.

    `bias` as `Library.pad` gives it, or null where nothing is added to scores; `groups` 1 or the windows of a map.
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
    """What becomes of a branch's output; see `sum_of`."""

    _fields_ = [("adapters", ctypes.POINTER(Adapter)), ("count", NUMBER), ("added", ctypes.c_bool)]


OUTPUT = Ending(None, 0, False)  # the branch's output as it is
ADDED = Ending(None, 0, True)  # and what entered is added


class Step(ctypes.Structure):
    """A sub-layer or a part of it: a merging or null, one of the two branches or none, what becomes of the output."""

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
        """Likewise, without the merging."""
        return Step(None, self.mlp, self.attention, ending)

    def only_merging(self) -> "Step":
        """Likewise, without the branch."""
        return Step(self.merging, None, None, OUTPUT)
