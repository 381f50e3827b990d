"""Where a model is: a folder, or a repository of the Hub. Light, because the command line asks before it loads anything."""

from __future__ import annotations

from pathlib import Path

_FILES = ("*.json", "*.safetensors")


def locate_model(source: str | Path) -> str:
    """The folder of a model: the one that is named, or that of a Hub repository in the cache, fetched where it is not there yet.

    Args:
        source: folder or Hub repository ("name/model").

    Raises:
        OSError: there is neither, or the Hub cannot be reached.
    """
    if Path(source).is_dir():
        return str(source)
    name = str(source)
    if len(name.split("/")) != 2 or not all(name.split("/")) or name.startswith((".", "~")):
        raise FileNotFoundError(f"there is no folder {name!r}; name a folder, or a repository of the Hub as NAME/MODEL")
    from transformers.utils.hub import snapshot_download

    try:
        return snapshot_download(name, allow_patterns=list(_FILES))
    except (OSError, ValueError) as error:  # no such repository, no network, no name that the Hub knows
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise OSError(f"there is no folder {name!r}, and no such repository could be fetched from the Hub ({reason})") from error
