"""Errors raised while a data set is read and checked, before any training starts.

    DataError
    ├── UnknownSource      the name is no built-in set, path or hub name that can be read
    ├── MissingPath        the named file or folder does not exist
    ├── HubUnavailable     a hub data set cannot be had: no `datasets` package, no network, no such name
    ├── UnreadableFile     a Parquet file, a list of images or a file of a published set is damaged, or is none
    ├── WrongColumn        a named column is absent, or its type holds no images or labels
    ├── UnknownLabel       a label is null, out of range, or in the test split only
    ├── SingleClass        fewer than two classes: nothing to tell apart
    ├── EmptyClass         a class without a training image
    ├── TooFewImages       a set is empty, or too small for a validation split
    └── UnreadableImage    one image does not decode

Every message names the file, folder or row at fault.
"""


class DataError(Exception):
    """Base of every error about a data set."""


class UnknownSource(DataError):
    """The specification names nothing that can be read as a data set."""


class MissingPath(DataError):
    """The named file or folder does not exist."""


class HubUnavailable(DataError):
    """A data set of the Hugging Face hub cannot be loaded here."""


class UnreadableFile(DataError):
    """A Parquet file, a list of images or a file of a published set is not what it should be."""


class WrongColumn(DataError):
    """A column is absent or of a type that holds no images or labels."""


class UnknownLabel(DataError):
    """A label is null, outside the class names, or unknown to the training split."""


class SingleClass(DataError):
    """The training split has fewer than two classes."""


class EmptyClass(DataError):
    """A class has no image in the training split."""


class TooFewImages(DataError):
    """A split has no image, or too few to carve a validation split from."""


class UnreadableImage(DataError):
    """An image does not decode; the message says which and why."""
