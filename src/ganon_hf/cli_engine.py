"""The engine as the commands load it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from .cli_exit import stop

if TYPE_CHECKING:
    from .anonymizer import Anonymizer


def read_engine(model: str | None, device: str | None, detection_threads: int | None = None) -> Anonymizer:
    """The engine, loaded only when a photo needs it (seconds). Can be handed to a worker process.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: it cannot be loaded.
    """
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    from .anonymizer import Anonymizer
    from .detection import default_detector

    disable_progress_bar()  # transformers would show one for reading the weights
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is reported once, in our words
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    return Anonymizer.from_pretrained(model, device=device, detector=default_detector(threads=detection_threads))


def load_engine(model: str | None, device: str | None) -> Anonymizer:
    """:func:`read_engine`, or the end of the command with a message."""
    try:
        return read_engine(model, device)
    except (OSError, ValueError, RuntimeError) as error:
        stop_unloadable(model, error)


def stop_unloadable(model: str | None, error: Exception) -> NoReturn:
    """End the command because the engine cannot be loaded."""
    stop(f"The model {model or 'of the package'} cannot be loaded: {error}")
