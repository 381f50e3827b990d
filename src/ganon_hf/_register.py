"""Makes the task ``"face-anonymization"`` and the model type ``"ganon"`` known to transformers, and ``GanonPipeline`` to diffusers.

Neither is imported for that.

transformers has no plug-in mechanism: a task must be written into the registry of ``transformers.pipelines``, a model type into the name
tables of the Auto classes. Importing these modules takes seconds, so :func:`install` waits for it instead: a finder on ``sys.meta_path``
lets the import run as usual and writes the entries right after the module was executed. Where a module is already loaded, it writes at
once.

Entries are names, as transformers' own are, and what they name is imported when somebody uses it: the task by its dotted path, the
classes through a module ``transformers.models.ganon``, where transformers looks for them and which the same finder provides. So the hook
imports nothing but ``AutoModel``, and that only after ``transformers.pipelines``: it can cause no import cycles, and no deadlocks between
threads that import.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from .core.task import CHECKPOINT, TASK

MODEL_TYPE = "ganon"
_CLASSES = f"transformers.models.{MODEL_TYPE}"
_PIPELINE = f"diffusers.pipelines.{MODEL_TYPE}"


def _register_task(pipelines: ModuleType) -> None:
    import logging

    from transformers import AutoModel

    class BundledModel(AutoModel):
        """``AutoModel`` without a progress bar: three lines that anonymize a photo need not show how 112 tensors are read."""

        @classmethod
        def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
            from .core.model_loading import without_progress_bar

            with without_progress_bar():
                return AutoModel.from_pretrained(*args, **kwargs)

    # transformers warns that a default may change from one day to another; this one has the package's version
    logging.getLogger(pipelines.__name__).addFilter(lambda record: str(CHECKPOINT) not in record.getMessage())
    pipelines.PIPELINE_REGISTRY.supported_tasks[TASK] = {
        "impl": f"{__package__}.core.pipeline_ganon.FaceAnonymizationPipeline",
        "pt": (BundledModel,),
        "default": {"model": (str(CHECKPOINT), None)},
        "type": "image",
    }


def _register_config(configuration_auto: ModuleType) -> None:
    configuration_auto.CONFIG_MAPPING_NAMES[MODEL_TYPE] = "GanonConfig"  # AutoModel asks for the config first


def _register_image_processor(image_processing_auto: ModuleType) -> None:
    names = {"pil": "GanonImageProcessor", "torchvision": "GanonImageProcessor"}
    image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES[MODEL_TYPE] = names


def _register_pipeline(diffusers: ModuleType) -> None:
    """``DiffusionPipeline.from_pretrained`` asks the module for the class that ``model_index.json`` names."""
    diffusers._class_to_module["GanonPipeline"] = _PIPELINE.removeprefix("diffusers.")


# module -> what is written into it
_ENTRIES: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.image_processing_auto": _register_image_processor,
    "transformers.pipelines": _register_task,
    "diffusers": _register_pipeline,
}


def install() -> None:
    """Write the entries into modules that are loaded, and into every one that is (re)loaded from here on."""
    stale = [
        finder for finder in sys.meta_path if type(finder).__qualname__ == _Finder.__qualname__ and type(finder).__module__ == __name__
    ]
    for finder in stale:  # from before importlib.reload
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, _Finder())
    for name in _ENTRIES:
        if name in sys.modules:
            _register_or_warn(importlib.import_module(name))  # another thread may be in the middle of it: the import waits


def _register_or_warn(module: ModuleType) -> None:
    """Write the entry for a module; a failure must not make its import fail for somebody who wants something else."""
    try:
        _ENTRIES[module.__name__](module)
    except Exception as error:
        message = (
            f"ganon_hf could not register itself in {module.__name__} of this version of {module.__name__.partition('.')[0]}: "
            f"{type(error).__name__}: {error}"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of :data:`_ENTRIES` like everybody else and wraps their loaders, and the module of our classes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The real spec with a loader that registers afterwards, or None for modules that are none of our business."""
        if fullname in (_CLASSES, _PIPELINE):
            return importlib.machinery.ModuleSpec(fullname, _ClassesLoader() if fullname == _CLASSES else _PipelineLoader())
        if fullname not in _ENTRIES:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _ClassesLoader(importlib.abc.Loader):
    """Fills ``transformers.models.ganon`` with the classes of this package, on their first use."""

    def exec_module(self, module: ModuleType) -> None:
        """Import the classes and register them, so that AutoModel finds the model by the class of its config."""
        from .core import image_processing_ganon, model_loading, modeling_ganon

        module.__dict__.update(
            GanonConfig=modeling_ganon.GanonConfig,
            GanonModel=modeling_ganon.GanonModel,
            GanonImageProcessor=image_processing_ganon.GanonImageProcessor,
        )
        model_loading.register_auto_classes()


class _PipelineLoader(importlib.abc.Loader):
    """Fills ``diffusers.pipelines.ganon`` with our pipeline, on its first use."""

    def exec_module(self, module: ModuleType) -> None:
        """Import the class."""
        from .core.diffusion_pipeline_ganon import GanonPipeline

        module.__dict__.update(GanonPipeline=GanonPipeline)


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
        _register_or_warn(sys.modules.get(module.__name__, module))  # diffusers puts a lazy one in its own place
