"""Makes the task ``"face-anonymization"`` and the model type ``"ganon"`` known to transformers, without importing transformers.

transformers has no plug-in mechanism: a task must be written into the registry of ``transformers.pipelines`` by somebody. Importing
that module takes seconds, so :func:`install` waits for it instead: a finder on ``sys.meta_path`` lets the import run as usual and
calls :func:`register` right after the module was executed. Where transformers is already loaded, it registers at once.

The task names its implementation by a dotted string, and what is imported here does not need ``transformers.pipelines``: that keeps the
hook free of import cycles, and of dead locks between threads that import both.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

TASK = "face-anonymization"
CHECKPOINT = Path(__file__).parent / "checkpoint"
_TARGET = "transformers.pipelines"


def register() -> None:
    """Write the task and the model type into transformers' registries. Imports transformers; calling it again changes nothing."""
    pipelines = importlib.import_module(_TARGET)
    from transformers import AutoModel

    pipelines.PIPELINE_REGISTRY.supported_tasks[TASK] = {
        "impl": f"{__package__}.core.pipeline_ganon.FaceAnonymizationPipeline",
        "pt": (AutoModel,),
        "default": {"model": (str(CHECKPOINT), None)},
        "type": "image",
    }
    from .core.anonymizer import register_auto_classes

    register_auto_classes()


def install() -> None:
    """Register now if ``transformers.pipelines`` is loaded, and after every (re)load of it from here on."""
    stale = [
        finder for finder in sys.meta_path if type(finder).__qualname__ == _Finder.__qualname__ and type(finder).__module__ == __name__
    ]
    for finder in stale:  # from before importlib.reload
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, _Finder())
    if _TARGET in sys.modules:
        importlib.import_module(_TARGET)  # another thread may be in the middle of it: this waits
        _register_or_warn()


def _register_or_warn() -> None:
    """Register; a failure must not make ``import transformers.pipelines`` fail for somebody who wants another task."""
    try:
        register()
    except Exception as error:
        message = f"ganon_hf could not register the task {TASK!r} with this version of transformers: {type(error).__name__}: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``transformers.pipelines`` like everybody else, and wraps its loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The real spec with a loader that registers afterwards, or None for every other module."""
        if fullname != _TARGET:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Runs the real loader, steps out of the way, then registers."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the real loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module under its real loader (so that resources, source and pickling work), then register."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _register_or_warn()
