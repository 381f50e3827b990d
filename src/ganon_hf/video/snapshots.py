"""Nested values with arrays on disk: one .npz file without pickles, written atomically."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .._atomic import atomic_file

_ARRAY = "__array__"  # a dictionary with this key alone stands for the array of that name


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write dictionaries, lists, numbers, text and numpy arrays; tuples come back as lists."""
    arrays: dict[str, np.ndarray] = {}

    def packed(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[f"array-{len(arrays)}"] = value
            return {_ARRAY: f"array-{len(arrays) - 1}"}
        if isinstance(value, dict):
            return {key: packed(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [packed(one) for one in value]
        return value

    text = json.dumps(packed(state)).encode()
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, text=np.frombuffer(text, np.uint8), **arrays)


def load_state(path: Path) -> dict[str, Any] | None:
    """What :func:`save_state` wrote, or None where the file is no such file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:

            def unpacked(value: Any) -> Any:
                if isinstance(value, dict):
                    return arrays[value[_ARRAY]] if set(value) == {_ARRAY} else {key: unpacked(one) for key, one in value.items()}
                return [unpacked(one) for one in value] if isinstance(value, list) else value

            state = unpacked(json.loads(arrays["text"].tobytes()))
    except (EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return state if isinstance(state, dict) else None
