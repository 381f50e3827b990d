"""Face anonymization for Hugging Face: every face in a photo becomes a synthetic one with the same expression, gaze and pose.

Importing this package is cheap (no torch, transformers or mediapipe) and makes ``pipeline("face-anonymization")`` known to
transformers, whichever of the two is imported first. Public names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _register

if TYPE_CHECKING:  # the same names as in _PUBLIC, for editors and type checkers; a test compares the two
    from .anonymizer import Anonymizer
    from .detection import MediaPipeDetector, MediaPipeTasksDetector
    from .diffusion_pipeline_ganon import GanonPipeline
    from .faces import AnonymizationResult, AnonymizeOptions, Face, FaceReport, NoFaceError, UnusableImageError
    from .image_processing_ganon import GanonImageProcessor
    from .modeling_ganon import GanonConfig, GanonModel
    from .pipeline_ganon import FaceAnonymizationPipeline

__version__ = "0.1.0"

_PUBLIC = {
    "AnonymizationResult": "faces",
    "AnonymizeOptions": "faces",
    "Anonymizer": "anonymizer",
    "Face": "faces",
    "FaceAnonymizationPipeline": "pipeline_ganon",
    "FaceReport": "faces",
    "GanonConfig": "modeling_ganon",
    "GanonImageProcessor": "image_processing_ganon",
    "GanonModel": "modeling_ganon",
    "GanonPipeline": "diffusion_pipeline_ganon",
    "MediaPipeDetector": "detection",
    "MediaPipeTasksDetector": "detection",
    "NoFaceError": "faces",
    "UnusableImageError": "faces",
}

__all__ = [  # written out, so that editors and type checkers see it
    "AnonymizationResult",
    "AnonymizeOptions",
    "Anonymizer",
    "Face",
    "FaceAnonymizationPipeline",
    "FaceReport",
    "GanonConfig",
    "GanonImageProcessor",
    "GanonModel",
    "GanonPipeline",
    "MediaPipeDetector",
    "MediaPipeTasksDetector",
    "NoFaceError",
    "UnusableImageError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_PUBLIC})


_register.install()
