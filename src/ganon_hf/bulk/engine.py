"""The engine for whoever anonymizes many photos: loaded in worker processes, and named so that results of another one are known as such."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.task import CHECKPOINT

if TYPE_CHECKING:
    from ..core.anonymizer import Anonymizer


def read_engine(model: str | None, device: str | None, detection_threads: int | None = None) -> Anonymizer:
    """The engine, loaded only when a photo needs it (seconds). With its first two arguments bound it can be handed to a worker process.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: it cannot be loaded.
    """
    from ..core.anonymizer import Anonymizer
    from ..core.detection import default_detector

    quiet()
    return Anonymizer.from_pretrained(model, device=device, detector=default_detector(threads=detection_threads))


def model_identity(model: str | None) -> str:
    """Name, program version and, for a folder, a digest of its weights and settings: outputs of another model are redone."""
    import hashlib

    from .._version import __version__

    folder = CHECKPOINT if model is None else Path(model)
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{model or 'bundled'}@{digest.hexdigest()[:12]} ganon-hf {__version__}"


def weights_digest(engine: Anonymizer) -> str:
    """12 hexadecimal digits of the engine's configuration and weights, wherever they came from."""
    import hashlib

    model = engine.model
    digest = hashlib.sha256(model.config.to_json_string().encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def quiet() -> None:
    """Libraries keep to themselves what is not an error."""
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # transformers would show one for reading the weights
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is reported once, in our words
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
