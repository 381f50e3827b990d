"""Snapshots on disk: nested values with arrays in one .npz file without pickles, written complete or not at all."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .._atomic import atomic_file

_ARRAY = "__array__"  # a dictionary with this key alone stands for the array of that name


def save_snapshot(path: Path, snapshot: dict[str, Any]) -> None:
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

    text = json.dumps(packed(snapshot)).encode()
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, text=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]  # mistaken for allow_pickle


def load_snapshot(path: Path) -> dict[str, Any] | None:
    """What :func:`save_snapshot` wrote, or None where it is damaged or something else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:

            def unpacked(value: Any) -> Any:
                if isinstance(value, dict):
                    return arrays[value[_ARRAY]] if set(value) == {_ARRAY} else {key: unpacked(one) for key, one in value.items()}
                return [unpacked(one) for one in value] if isinstance(value, list) else value

            snapshot = unpacked(json.loads(arrays["text"].tobytes()))
    except (EOFError, OSError, KeyError, TypeError, ValueError, RecursionError, zipfile.BadZipFile):
        return None
    return snapshot if isinstance(snapshot, dict) else None
