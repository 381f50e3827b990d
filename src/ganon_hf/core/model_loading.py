"""The model of a folder or Hub repository, which may be hostile: read with the classes of this package, checked before it is loaded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel
from transformers.utils import cached_file, logging

from .image_processing_ganon import GanonImageProcessor
from .modeling_ganon import GanonConfig, GanonModel

_MAX_SIZE = 4096  # of every number in a configuration: pixels, people, hidden units
_MAX_PARAMETERS = 250_000_000  # 1 GB; the largest generator of this package has a quarter of it
_MAX_HEADER_BYTES = 10_000_000
_FLOATING = ("F64", "F32", "F16", "BF16")
# Parts of the geometry that older weights lack, and since when there are such.
_STEPS = {
    "shading_": "faces shaded themselves",
    "people_irises": "people had irises of their own size",
    "people_lids": "people had eyes that are open as far as theirs",
}


def require_device(device: str | torch.device) -> torch.device:
    """The device as torch names it.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    try:
        wanted = torch.device(device)
        torch.empty(1, device=wanted)  # a build without CUDA says so in an AssertionError
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        present = ["cpu"]
        present += [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        present += ["mps"] if torch.backends.mps.is_available() else []
        raise ValueError(
            f"the device {str(device)!r} cannot be used ({str(error).strip().splitlines()[0].rstrip('.')}); "
            f"torch {torch.__version__} finds {', '.join(present)} here"
        ) from error
    return wanted


def register_auto_classes() -> None:
    """Make transformers' Auto classes know this model; repeated calls change nothing."""
    AutoConfig.register(GanonConfig.model_type, GanonConfig, exist_ok=True)
    AutoModel.register(GanonConfig, GanonModel, exist_ok=True)
    AutoImageProcessor.register(
        GanonConfig, image_processor_classes={"pil": GanonImageProcessor, "torchvision": GanonImageProcessor}, exist_ok=True
    )


def load_model(source: str) -> GanonModel:
    """Load a model in evaluation mode, with the classes of this package: code that lies in the folder never runs.

    Args:
        source: folder or Hub repository; its weights are safetensors.

    Raises:
        OSError: it has no such files.
        ValueError: it is no model of this kind or damaged, or the weights do not fit the configuration; a generator with made-up parts
            must never run.
    """
    register_auto_classes()
    with _unreadable(source):
        config = _read_config(source)
        _check_weights(source, config)
        with without_progress_bar():
            loaded: Any = GanonModel.from_pretrained(source, config=config, output_loading_info=True, use_safetensors=True)
    model, loading = loaded
    problems = {name: sorted(map(str, keys)) for name, keys in loading.items() if keys}
    if any("people_centers" in key for key in problems.get("unexpected_keys", ())):
        raise ValueError(
            f"the weights in {source} are from before the bank of people: their people were drawn from groups. Use the "
            "weights that come with this version, or make a bank for yours with scripts/fit/people.py."
        )
    for part, step in _STEPS.items():
        if any(part in key for key in problems.get("missing_keys", ())):
            raise ValueError(
                f"the weights in {source} are from before {step}. Use the weights that come with this version, or fit yours again "
                "(docs/checkpoint.md)."
            )
    if problems:
        raise ValueError(f"the weights in {source} do not fit this model: {problems}")
    return model


def load_image_processor(source: str) -> GanonImageProcessor:
    """The image processor beside the weights. Arguments and errors as of :func:`load_model`."""
    with _unreadable(source):
        values, _ = GanonImageProcessor.get_image_processor_dict(source)
        kind = values.get("image_processor_type")
        if kind != GanonImageProcessor.__name__:
            raise ValueError(f"its image processor is {kind!r}, but must be {GanonImageProcessor.__name__!r}")
        return GanonImageProcessor(**{name: values[name] for name in ("conditioning", "image_size") if name in values})


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """transformers shows no progress bar inside; what was set before holds again afterwards."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _unreadable(source: str) -> Iterator[None]:
    """Whatever damaged or hostile files provoke in the libraries that read them is one error that names the folder and the reason."""
    try:
        yield
    except OSError:
        raise  # no such files, or no network: transformers' own words
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ValueError(f"the model in {source} cannot be used: {reason}") from error


def _read_config(source: str) -> GanonConfig:
    values, _ = GanonConfig.get_config_dict(source)
    if values.get("model_type") != GanonConfig.model_type:
        raise ValueError(f"its config.json has the model_type {values.get('model_type')!r}, but must have {GanonConfig.model_type!r}")
    if "quantization_config" in values:
        raise ValueError("its config.json has a quantization_config, which this model does not support")
    for name in inspect.signature(GanonConfig).parameters:
        numbers = values[name] if isinstance(values.get(name), list) else [values.get(name, 0)]
        for value in numbers if name not in ("conditioning", "kwargs") else ():
            if not isinstance(value, int) or not 0 <= value <= _MAX_SIZE:
                raise ValueError(f"{name} in its config.json must be a whole number from 0 to {_MAX_SIZE}, but is {value!r}")
    return GanonConfig.from_dict(values)


def _check_weights(source: str, config: GanonConfig) -> None:
    """Refuse weights by their headers, before anything of their size is allocated."""
    with torch.device("meta"):
        expected = GanonModel(config).state_dict()
    count = sum(tensor.numel() for tensor in expected.values())
    if count > _MAX_PARAMETERS:
        raise ValueError(f"its config.json asks for {count} parameters, more than {_MAX_PARAMETERS}")
    for path in _weight_files(source):
        for name, entry in _read_header(path).items():
            floating = name in expected and expected[name].is_floating_point()
            if name in expected and (entry["dtype"] in _FLOATING) != floating:
                raise ValueError(
                    f"{name} in its weights has the type {entry['dtype']}, but must be {'floating' if floating else 'integer'}"
                )


def _weight_files(source: str) -> list[str]:
    whole = cached_file(source, "model.safetensors", _raise_exceptions_for_missing_entries=False)
    if whole is not None:
        return [whole]
    index = cached_file(source, "model.safetensors.index.json", _raise_exceptions_for_missing_entries=False)
    if index is None:
        raise FileNotFoundError(f"There are no weights in {source}: neither model.safetensors nor model.safetensors.index.json.")
    names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    if any(Path(name).name != name for name in names):
        raise ValueError("its model.safetensors.index.json names files in other folders")
    return [str(cached_file(source, name)) for name in names]


def _read_header(path: str) -> dict[str, dict[str, Any]]:
    """Names, types and shapes of the tensors in a safetensors file."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError(f"{Path(path).name} is damaged: its header does not fit into its {size} bytes")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(f"{Path(path).name} is damaged: it has {size} bytes, but its header describes {8 + length + end}")
    return header
