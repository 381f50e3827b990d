"""The engine as the commands load it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from .cli_exit import stop
from .loading import read_engine

if TYPE_CHECKING:
    from .anonymizer import Anonymizer


def load_engine(model: str | None, device: str | None) -> Anonymizer:
    """The engine, or the end of the command with a message."""
    try:
        return read_engine(model, device)
    except (OSError, ValueError, RuntimeError) as error:
        stop_unloadable(model, error)


def stop_unloadable(model: str | None, error: Exception) -> NoReturn:
    """End the command because the engine cannot be loaded."""
    stop(f"The model {model or 'of the package'} cannot be loaded: {error}")
