"""Where the ``face_landmarker.task`` bundle is: given, named by the environment, or downloaded once and checked.

The bundle is Google's MediaPipe Face Landmarker, float16, version 1 (Apache-2.0). Only a file with the known SHA-256 is ever kept.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from pathlib import Path

URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
SIZE = 3_758_596  # bytes
ENVIRONMENT = "GANON_HF_LANDMARKER"


def locate_landmarker(path: str | Path | None = None, *, url: str = URL, sha256: str = SHA256) -> Path:
    """The bundle's path: the argument, else ``$GANON_HF_LANDMARKER``, else a checked copy in the Hugging Face cache folder.

    Raises:
        FileNotFoundError: the given path, or the environment's, is no file.
        OSError: the download failed, or is not the expected file, or ``HF_HUB_OFFLINE`` forbids it.
    """
    chosen = path or os.environ.get(ENVIRONMENT)
    if chosen:
        if not Path(chosen).is_file():
            raise FileNotFoundError(f"No face landmarker bundle at {str(chosen)!r} ({'model_path' if path else ENVIRONMENT}).")
        return Path(chosen)
    cache = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface").expanduser()
    target = cache / "ganon-hf" / "face_landmarker.task"
    if not (target.is_file() and _digest(target.read_bytes()) == sha256):
        _download(target, url, sha256)
    return target


def _download(target: Path, url: str, sha256: str) -> None:
    advice = f"Download {URL} yourself and name it in model_path or ${ENVIRONMENT}."
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise OSError(f"The face landmarker bundle is not here and HF_HUB_OFFLINE is set. {advice}")
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            content = response.read(4 * SIZE)  # what is larger cannot be it
    except OSError as error:  # URLError and timeouts are OSErrors
        raise OSError(f"The face landmarker bundle could not be downloaded from {url}: {error}. {advice}") from error
    if _digest(content) != sha256:
        raise OSError(
            f"What {url} sent is not the expected file (SHA-256 {_digest(content)}, expected {sha256}); it was not kept. {advice}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # what _atomic.py does for the rest of the package; this file is exported to the Hub, where that one is not
    descriptor, part = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(part, target)  # two processes may download at once; either file is the right one
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
