"""Loading the engine in worker processes, and telling one model from another so that results of an older one are made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.task import CHECKPOINT

if TYPE_CHECKING:
    from ..core.anonymizer import Anonymizer

_FLOATING = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}  # as safetensors names them -> as NumPy does
_MAX_BYTES = 4 << 30  # of a file of weights; larger than any that can be loaded


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


def model_fingerprint(model: str | None, weights: str | None = None) -> str:
    """Name, digest of the weights and version of this package, without loading anything: changes with what a model draws.

    Args:
        model: folder or Hub name; None takes the weights in the package.
        weights: :func:`weights_digest_of` the model, if that is known already. Errors as there.
    """
    from .._version import __version__

    return f"{model or 'bundled'}@{weights or weights_digest_of(model)} ganon-hf {__version__}"


def weights_digest_of(model: str | None) -> str:
    """:func:`weights_digest` of a folder or Hub repository, from its files alone: neither torch nor the model is loaded.

    Raises:
        OSError: there is no such model.
        ValueError: its files are damaged, or are none of a model.
    """
    import json

    import safetensors

    from ..core.model_location import locate_model

    folder = CHECKPOINT if model is None else Path(locate_model(model))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config.pop("auto_map", None)  # an exported folder names its own code; whoever loads the model drops that
        tensors: dict[str, bytes] = {}
        for path in folder.glob("*.safetensors"):
            if path.is_file() and path.stat().st_size <= _MAX_BYTES:  # a named pipe would hang; loading says it
                entries = safetensors.deserialize(path.read_bytes())
                tensors |= {name: _as_loaded(entry["dtype"], entry["data"], config.get("dtype")) for name, entry in entries}
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no config.json in {folder}, so it holds no model") from error
    except (AttributeError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"the model in {folder} cannot be used: {error}") from error
    return _digest(config, tensors.items())


def _as_loaded(kind: str, data: bytes, dtype: str | None) -> bytes:
    """A tensor of a safetensors file as it lies in memory once it is loaded: floating-point numbers get the type of the configuration."""
    import numpy as np

    if kind == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    elif kind in _FLOATING:
        values = np.frombuffer(data, _FLOATING[kind])
    else:
        return data
    return values.astype(np.dtype(dtype or "float32"), copy=False).tobytes()


def weights_digest(engine: Anonymizer) -> str:
    """12 hexadecimal digits of a loaded engine's configuration and weights, wherever they come from and whatever version reads them."""
    import json

    config = json.loads(engine.model.config.to_json_string())
    return _digest(config, ((name, tensor.detach().cpu().numpy().tobytes()) for name, tensor in engine.model.state_dict().items()))


def _digest(config: Mapping[str, Any], tensors: Iterable[tuple[str, bytes]]) -> str:
    import hashlib
    import json

    values = {name: value for name, value in config.items() if name != "transformers_version"}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, content in sorted(tensors):
        digest.update(name.encode() + content)
    return digest.hexdigest()[:12]


def quiet() -> None:
    """Silence progress bars and warnings of the libraries, in a process of our own."""
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # transformers would show one for reading the weights
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is reported once, in our words
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
