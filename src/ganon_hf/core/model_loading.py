"""The model of a folder or Hub repository, by transformers' Auto classes."""

from __future__ import annotations

from transformers import AutoConfig, AutoImageProcessor, AutoModel

from .image_processing_ganon import GanonImageProcessor
from .modeling_ganon import GanonConfig, GanonModel


def register_auto_classes() -> None:
    """Make transformers' Auto classes know this model; repeated calls change nothing."""
    AutoConfig.register(GanonConfig.model_type, GanonConfig, exist_ok=True)
    AutoModel.register(GanonConfig, GanonModel, exist_ok=True)
    AutoImageProcessor.register(
        GanonConfig, image_processor_classes={"pil": GanonImageProcessor, "torchvision": GanonImageProcessor}, exist_ok=True
    )


def load_model(source: str) -> GanonModel:
    """Load a model in evaluation mode.

    Args:
        source: folder or Hub repository.

    Raises:
        OSError: it has no such files.
        ValueError: the weights do not fit the configuration; a generator with made-up parts must never run.
    """
    register_auto_classes()
    model, loading = AutoModel.from_pretrained(source, output_loading_info=True)
    problems = {name: sorted(map(str, keys)) for name, keys in loading.items() if keys}
    if any("people_centers" in key for key in problems.get("unexpected_keys", ())):
        raise ValueError(
            f"the weights in {source} are from before the bank of people: their people were drawn from groups. Use the "
            "weights that come with this version, or make a bank for yours with scripts/fit/people.py."
        )
    if problems:
        raise ValueError(f"the weights in {source} do not fit this model: {problems}")
    return model
