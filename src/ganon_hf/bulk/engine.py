"""Loading the engine in worker processes, and telling one model from another so that results of an older one are made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.task import CHECKPOINT

if TYPE_CHECKING:
    from ..core.anonymizer import Anonymizer
    from ..core.modeling_ganon import GanonModel


def read_engine(model: str | None, device: str | None, detection_threads: int | None = None) -> Anonymizer:
    """Load the engine, which takes seconds. With its first two arguments bound this can be handed to a worker process.

    Args:
        model: folder or Hub name; None takes the weights in the package.
        device: where the generator runs; None is the CPU.
        detection_threads: None takes one per core.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: it cannot be loaded.
    """
    from ..core.anonymizer import Anonymizer
    from ..core.detection_search import YuNetDetector

    quiet()
    return Anonymizer.from_pretrained(model, device=device, detector=YuNetDetector(threads=detection_threads))


def model_fingerprint(model: str | None) -> str:
    """Name, version of this package and, for a folder, a digest of its files, without loading anything: changes with what a model draws.

    :func:`weights_digest` is the same for equal weights wherever they come from, but needs a loaded engine.
    """
    import hashlib

    from .._version import __version__

    folder = CHECKPOINT if model is None else Path(model)
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        if path.is_file():  # a named pipe would hang
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{model or 'bundled'}@{digest.hexdigest()[:12]} ganon-hf {__version__}"


def weights_digest_of(model: str | None) -> str:
    """:func:`weights_digest` of a folder or Hub repository; reads the weights alone. Errors as of :func:`read_engine`."""
    from ..core.model_loading import load_model
    from ..core.model_location import locate_model

    quiet()
    return _digest(load_model(locate_model(CHECKPOINT if model is None else model)))


def weights_digest(engine: Anonymizer) -> str:
    """12 hexadecimal digits of a loaded engine's configuration and weights, wherever they come from and whatever version reads them."""
    return _digest(engine.model)


def _digest(model: GanonModel) -> str:
    import hashlib
    import json

    config = {name: value for name, value in json.loads(model.config.to_json_string()).items() if name != "transformers_version"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def quiet() -> None:
    """Silence progress bars and warnings of the libraries, in a process of our own."""
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # transformers would show one for reading the weights
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is reported once, in our words
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
