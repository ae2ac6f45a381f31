"""Data sets for training: digits, image folders, Parquet files and the hub, behind one small protocol."""

from training.data.check import check
from training.data.errors import DataError
from training.data.load import load_data
from training.data.sets import Data, ImageSet
from training.data.split import carve

__all__ = ["Data", "DataError", "ImageSet", "carve", "check", "load_data"]
