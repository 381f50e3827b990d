"""Where the networks that find faces are: files of this package, or of a folder that brings its own.

``face_detection_yunet_2023mar.onnx`` is YuNet of OpenCV Zoo (MIT) with a symbolic input size, ``face_landmarks_detector.tflite`` the
landmark network of MediaPipe's Face Landmarker (Apache-2.0). ``detectors/README.md`` says where they come from and what they were trained
on; ``scripts/maintain/fetch_detectors.py`` makes them.
"""

from __future__ import annotations

from pathlib import Path

DETECTORS = Path(__file__).parent.parent / "detectors"
YUNET_FILE, LANDMARKS_FILE = "face_detection_yunet_2023mar.onnx", "face_landmarks_detector.tflite"
YUNET_SHA256 = "b1b3061b1ae7a43bcc1497284ade754f701db774ef3a19481edcaf27fbc425b1"
LANDMARKS_SHA256 = "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5"


def read_network(name: str, folder: str | Path | None = None) -> bytes:
    """A network's file.

    Args:
        name: of the file, :data:`YUNET_FILE` for instance.
        folder: where it lies; None is the folder of this package.

    Raises:
        FileNotFoundError: it is not there, as beside code that was loaded from the Hub.
    """
    path = Path(DETECTORS if folder is None else folder) / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(
            f"There is no network {str(path)!r}. Give the folder that holds {YUNET_FILE} and {LANDMARKS_FILE} as `folder`, "
            "or install ganon-hf, which carries them."
        ) from error
