"""Blendshape scores against those of MediaPipe's own graph, stored: mediapipe 0.10.21, Face Landmarker, scikit-image's astronaut."""

from __future__ import annotations

import hashlib
import math
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from ganon_hf.core.detection_files import LANDMARKS_FILE, read_network
from ganon_hf.core.detection_mesh import LandmarkNetwork, Square
from ganon_hf.core.detection_pyramid import Levels
from ganon_hf.core.faces import Box
from ganon_hf.evaluation.metrics.blendshapes import BlendshapeReader
from ganon_hf.evaluation.metrics.expression import smile_score
from ganon_hf.training.blendshape_network import BLENDSHAPE_NAMES, BLENDSHAPES_FILE, BLENDSHAPES_SHA256, BlendshapeNetwork

BOX: Box = (160.0, 50.0, 290.0, 220.0)
MEDIAPIPE = np.array(
    """
    0.000 0.028 0.034 0.022 0.118 0.098 0.001 0.000 0.000 0.040 0.027 0.146 0.138 0.061 0.065 0.064 0.064 0.075 0.072 0.350 0.271
    0.021 0.041 0.001 0.001 0.013 0.000 0.000 0.027 0.021 0.000 0.000 0.004 0.002 0.061 0.139 0.106 0.175 0.003 0.000 0.004 0.031
    0.004 0.023 0.899 0.904 0.007 0.024 0.468 0.474 0.000 0.000
    """.split(),
    dtype=float,
)


@pytest.fixture(scope="module")
def reader() -> BlendshapeReader:
    return BlendshapeReader()


@pytest.fixture
def photo(astronaut: Image.Image) -> np.ndarray:
    return np.array(astronaut)


def test_network_is_the_one_that_the_code_names() -> None:
    assert hashlib.sha256(read_network(BLENDSHAPES_FILE)).hexdigest() == BLENDSHAPES_SHA256


def test_scores_are_those_of_mediapipe(reader: BlendshapeReader, photo: np.ndarray) -> None:
    scores = reader(photo, BOX)
    assert scores.shape == (52,) and 0 <= scores.min() <= scores.max() <= 1
    assert np.abs(scores - MEDIAPIPE).max() < 0.1 and np.corrcoef(scores, MEDIAPIPE)[0, 1] > 0.99
    named = dict(zip(reader.names, scores, strict=True))
    assert named["mouthSmileLeft"] > 0.8 and named["mouthSmileRight"] > 0.8 and named["mouthFrownLeft"] < 0.05
    assert smile_score(scores[None], reader.names)[0] > 0.8, "she smiles"


@pytest.mark.parametrize(
    ("side", "other", "upper", "lower"),
    [
        ("Left", "Right", (384, 385, 386, 387, 388), (381, 380, 374, 373, 390)),
        ("Right", "Left", (157, 158, 159, 160, 161), (154, 153, 145, 144, 163)),
    ],
)
def test_names_are_in_the_order_of_the_scores(
    photo: np.ndarray, side: str, other: str, upper: tuple[int, ...], lower: tuple[int, ...]
) -> None:
    """The person's left eye, shut, is eyeBlinkLeft; the names were compared with those of MediaPipe's own result."""
    mesh = LandmarkNetwork(read_network(LANDMARKS_FILE)).fit(Levels(photo), Square.around(BOX, 0.0))
    shut = mesh.points.copy()
    shut[list(upper)] = shut[list(lower)]
    before, after = (dict(zip(BLENDSHAPE_NAMES, scores, strict=True)) for scores in BlendshapeNetwork()([mesh.points, shut]))
    assert after[f"eyeBlink{side}"] > before[f"eyeBlink{side}"] + 0.3
    assert after[f"eyeBlink{side}"] > after[f"eyeBlink{other}"] + 0.2


@pytest.mark.parametrize(("grow", "shift"), [(1.1, 0.0), (0.9, 0.0), (1.0, 0.1)])
def test_the_exact_box_does_not_matter(reader: BlendshapeReader, photo: np.ndarray, grow: float, shift: float) -> None:
    x, y, across, down = (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2, (BOX[2] - BOX[0]) / 2, (BOX[3] - BOX[1]) / 2
    x += 2 * shift * across
    other = reader(photo, (x - grow * across, y - grow * down, x + grow * across, y + grow * down))
    assert np.abs(other - reader(photo, BOX)).max() < 0.03


@pytest.mark.parametrize("degrees", [-50, 30])
def test_faces_that_are_turned_are_read(reader: BlendshapeReader, photo: np.ndarray, degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D(((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2), degrees, 1)
    turned = cv2.warpAffine(photo, matrix, photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    assert smile_score(reader(turned, BOX)[None], reader.names)[0] > 0.7


def test_what_is_no_face_there_is_not_read(reader: BlendshapeReader, photo: np.ndarray) -> None:
    assert np.isnan(reader(np.zeros_like(photo), BOX)).all(), "nothing there"
    hidden = photo.copy()
    hidden[int(BOX[1]) : int(BOX[3]), int(BOX[0]) : int(BOX[2])] = 128
    assert np.isnan(reader(hidden, BOX)).all(), "covered"
    assert np.isnan(reader(photo, (160.0, 130.0, 290.0, 300.0))).all(), "the mesh ends on a face that is not in the box"


def test_the_network_takes_landmarks_in_any_unit(photo: np.ndarray) -> None:
    network = BlendshapeNetwork()
    mesh = LandmarkNetwork(read_network(LANDMARKS_FILE)).fit(Levels(photo), Square.around(BOX, 0.0))
    turn = math.radians(10)
    turned = mesh.points[:, :2] @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    scores = network([mesh.points, 7 * mesh.points[:, :2] - 300, turned])
    assert scores.shape == (3, 52) and np.abs(scores[0] - MEDIAPIPE).max() < 0.1
    assert np.abs(scores[1] - scores[0]).max() < 1e-4 and 1e-3 < np.abs(scores[2] - scores[0]).max() < 0.1
    assert network([]).shape == (0, 52)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        BlendshapeNetwork()
