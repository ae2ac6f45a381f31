"""Sub-layers compiled ahead of time for this processor, and kept in a folder.

    python -m backbone.compiled swin_tiny_patch4_window7_224 --cache FOLDER      # or: mimi compile

Sub-layers that differ only in the values of their weights share one program, so a Swin of 24 sub-layers has eleven.
What is not in the folder, or was made for another processor or another PyTorch, is computed by the module itself.

`kinds` says which sub-layers share a program, `build` makes programs, `program` runs them, `cache` keeps them.
"""

from backbone.compiled.cache import Branch, Cache, Loaded, default_folder
from backbone.compiled.errors import CompileError, CompilerMissing, ProgramUnusable

__all__ = ["Branch", "Cache", "CompileError", "CompilerMissing", "Loaded", "ProgramUnusable", "default_folder"]
