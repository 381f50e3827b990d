"""Scripts as modules: they are no package, so tests load them by their path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def load_script(name: str) -> ModuleType:
    """``"benchmarks/stages"`` -> the module of ``scripts/benchmarks/stages.py``; it finds its neighbors as when it is run."""
    path = SCRIPTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        patch.setattr(sys, "path", [str(path.parent), *sys.path])
        spec.loader.exec_module(module)
    return module
