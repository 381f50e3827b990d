"""The engine as the commands load it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cli_exit import stop

if TYPE_CHECKING:
    from .anonymizer import Anonymizer


def load_engine(model: str | None, device: str | None) -> Anonymizer:
    """The engine, loaded only when a photo needs it (seconds)."""
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    from .anonymizer import Anonymizer

    disable_progress_bar()  # transformers would show one for reading the weights
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is reported once, in our words
    logging.getLogger("PIL").setLevel(logging.CRITICAL)

    try:
        return Anonymizer.from_pretrained(model, device=device)
    except (OSError, ValueError, RuntimeError) as error:
        stop(f"The model {model or 'of the package'} cannot be loaded: {error}")
