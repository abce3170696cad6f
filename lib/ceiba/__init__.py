"""Ceiba: from satellite scenes and field recordings to ecosystem integrity."""

import importlib

__version__ = "0.1.0"
__all__ = ["Task", "begin"]


def __getattr__(name: str):
    # Loading the data cube takes seconds: it is paid for by those who begin a task, not by every import.
    if name in __all__:
        return getattr(importlib.import_module("ceiba.tasks"), name)
    raise AttributeError(f"module 'ceiba' has no attribute {name!r}; it offers {', '.join(__all__)}")
