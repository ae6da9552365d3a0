"""A module that is loaded by the first look into it, however early others import its name.

An `import` statement inside a function does that for code of our own. This is for what a library imports at its top.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec


def put_off(name: str) -> None:
    """Load the module `name` ("package.module") by its first use; nothing if it is imported already."""
    if name in sys.modules:
        return
    package, _, last = name.rpartition(".")
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return  # who imports it gets the error
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    # `from package import module` takes an attribute that is there, and asks nothing of it
    setattr(import_module(package), last, module)
