"""Every method that MiMi is compared with: each a builder over the same flat list of sub-layers.

A builder forks the frozen network and puts its parts around some modules. Everything in the fork that is not frozen
trains.
"""

from training.methods.registry import METHODS, Method
from training.methods.serving import merged

__all__ = ["METHODS", "Method", "merged"]
