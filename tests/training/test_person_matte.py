"""The matte against what MediaPipe's own graph gives, stored: mediapipe 0.10.21, SelfieSegmentation(model_selection=0)."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganon_hf.core.detection_files import read_network
from ganon_hf.training.person_matte import SELFIE_FILE, SELFIE_SHA256, SelfieSegmentation, default_matte


@pytest.fixture(scope="module")
def matte() -> SelfieSegmentation:
    return SelfieSegmentation()


def test_network_is_the_one_that_the_code_names() -> None:
    assert hashlib.sha256(read_network(SELFIE_FILE)).hexdigest() == SELFIE_SHA256


@pytest.mark.parametrize(
    ("height", "mean", "sensitive"),
    [
        (512, 0.54185, {(274, 48): 0.102, (293, 22): 0.0, (393, 2): 0.117, (17, 242): 0.54, (190, 114): 0.0, (233, 306): 0.828}),
        (300, 0.33908, {(211, 104): 0.294, (137, 22): 0.0, (164, 140): 0.419, (41, 175): 0.101, (83, 154): 0.426, (292, 39): 0.118}),
    ],
    ids=["square", "wide"],
)
def test_matte_is_that_of_mediapipe(
    matte: SelfieSegmentation, astronaut: Image.Image, height: int, mean: float, sensitive: dict[tuple[int, int], float]
) -> None:
    """The sensitive pixels are those that other ways of scaling (bilinear or by area, pixel centers at .5) move most, by 0.3 and more."""
    found = matte(np.asarray(astronaut)[:height])
    assert found.shape == (height, 512) and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert found.mean() == pytest.approx(mean, abs=2e-4)
    for (row, column), value in sensitive.items():
        assert found[row, column] == pytest.approx(value, abs=0.02), (row, column)
    assert found[60, 220] > 0.99, "her hair"
    assert found[120, 220] > 0.99, "her face"
    assert found[20, 20] < 0.01, "the flag"
    assert found[200, 450] < 0.01, "the shuttle"


def test_the_first_picture_leaves_no_trace_in_the_next(matte: SelfieSegmentation, astronaut: Image.Image) -> None:
    photo = np.asarray(astronaut)
    first = matte(photo)
    assert matte(photo[::-1].copy())[120, 220] > 0.9, "upside down the orange suit is there"
    assert np.array_equal(matte(photo), first)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (np.zeros((8, 8, 3)), "float64"),
        ("a.png", "str"),
    ],
)
def test_what_is_no_picture_is_refused(matte: SelfieSegmentation, image: object, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        matte(image)  # type: ignore[arg-type]


def test_workers_make_their_own() -> None:
    """The factory travels to spawned workers; a matte made before a fork works after it."""
    assert pickle.loads(pickle.dumps(default_matte)) is default_matte
    # in a fresh process: this one has threads of many libraries, beside which nobody should fork
    script = """
import json, os, sys
import numpy as np, skimage.data
from ganon_hf.training.person_matte import default_matte
matte, photo = default_matte(), skimage.data.astronaut()
before = matte(photo)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(matte(photo), before) else 1)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "mediapipe" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [0, False] and not done.stderr


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        default_matte()
