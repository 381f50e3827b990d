"""Where the networks that find faces are: in this package, or beside the weights of a model on the Hub.

``face_detection_yunet_2023mar.onnx`` is YuNet of OpenCV Zoo (MIT) with a symbolic input size, ``face_landmarks_detector.tflite`` the
landmark network of MediaPipe's Face Landmarker (Apache-2.0). ``detectors/README.md`` says where they come from and what they were trained
on; ``scripts/maintain/fetch_detectors.py`` makes them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

FOLDER = "detectors"  # in the package, in an exported folder and in a Hub repository
DETECTORS = Path(__file__).parent.parent / FOLDER
YUNET_FILE, LANDMARKS_FILE = "face_detection_yunet_2023mar.onnx", "face_landmarks_detector.tflite"
YUNET_SHA256 = "b1b3061b1ae7a43bcc1497284ade754f701db774ef3a19481edcaf27fbc425b1"
LANDMARKS_SHA256 = "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5"
SUMS = {YUNET_FILE: YUNET_SHA256, LANDMARKS_FILE: LANDMARKS_SHA256}


def source_of(config: Any) -> tuple[str | None, str | None]:
    """Folder or repository that a model's configuration was loaded from, and the revision; None for what it does not know."""
    return config.name_or_path or None, getattr(config, "_commit_hash", None)


def read_network(name: str, source: str | Path | None = None, revision: str | None = None) -> bytes:
    """A network's file, of this package where it is installed, otherwise of a model's folder or repository.

    Args:
        name: of the file, :data:`YUNET_FILE` for instance.
        source: folder or Hub repository of a model whose code runs without this package.
        revision: of the repository; None is its main branch.

    Raises:
        OSError: the file is nowhere, or it cannot be fetched.
        ValueError: it is another network than the one that was measured.
    """
    path: str | Path | None = DETECTORS / name
    if not (DETECTORS / name).is_file():
        if source is None:
            raise FileNotFoundError(
                f"There is no face detector {name}: not in {str(DETECTORS)!r}, and no model was named in whose folder it might be. "
                "Install ganon-hf, which carries it, or load the model with from_pretrained."
            )
        from transformers.utils import cached_file  # loads much; installed packages never get here

        path = cached_file(str(source), f"{FOLDER}/{name}", revision=revision)
    content = Path(str(path)).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SUMS.get(name, found):  # the others are for training and never come from elsewhere
        raise ValueError(
            f"{str(path)!r} has the SHA-256 {found}, but {name} must have {SUMS[name]}: another detector was not measured. "
            "Export the model again, or give a detector of your own as `detector`."
        )
    return content
