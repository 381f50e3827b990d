"""Face anonymization for Hugging Face: replaces every face in a photo with a synthetic one with the same expression, gaze and pose.

Importing this package is cheap (no torch, transformers or OpenCV) and makes ``pipeline("face-anonymization")`` known to
transformers, whichever of the two is imported first. Public names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _register
from ._version import __version__

if TYPE_CHECKING:  # the same names as in _PUBLIC, for editors and type checkers; a test compares the two
    from .core.anonymizer import Anonymizer
    from .core.corrections import CorrectionError, FaceCorrection
    from .core.detection_search import YuNetDetector
    from .core.diffusion_pipeline_ganon import GanonPipeline
    from .core.faces import AnonymizationResult, Face, FaceDetector, FaceReport, NoFaceError, UnusableImageError
    from .core.image_processing_ganon import GanonImageProcessor
    from .core.modeling_ganon import GanonConfig, GanonModel
    from .core.options import AnonymizeOptions
    from .core.pipeline_ganon import FaceAnonymizationPipeline

_PUBLIC = {
    "AnonymizationResult": "core.faces",
    "AnonymizeOptions": "core.options",
    "Anonymizer": "core.anonymizer",
    "CorrectionError": "core.corrections",
    "Face": "core.faces",
    "FaceAnonymizationPipeline": "core.pipeline_ganon",
    "FaceCorrection": "core.corrections",
    "FaceDetector": "core.faces",
    "FaceReport": "core.faces",
    "GanonConfig": "core.modeling_ganon",
    "GanonImageProcessor": "core.image_processing_ganon",
    "GanonModel": "core.modeling_ganon",
    "GanonPipeline": "core.diffusion_pipeline_ganon",
    "NoFaceError": "core.faces",
    "UnusableImageError": "core.faces",
    "YuNetDetector": "core.detection_search",
}

__all__ = [  # written out, so that editors and type checkers see it
    "AnonymizationResult",
    "AnonymizeOptions",
    "Anonymizer",
    "CorrectionError",
    "Face",
    "FaceAnonymizationPipeline",
    "FaceCorrection",
    "FaceDetector",
    "FaceReport",
    "GanonConfig",
    "GanonImageProcessor",
    "GanonModel",
    "GanonPipeline",
    "NoFaceError",
    "UnusableImageError",
    "YuNetDetector",
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
    """The public names, loaded or not, and nothing else."""
    return sorted(__all__)


_register.install()
