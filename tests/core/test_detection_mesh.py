"""The landmark network with its real weights: where its points lie, how it turns, what it refuses, following from frame to frame."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data as skimage_data

from ganon_hf.core.detection_files import LANDMARKS_FILE, read_network
from ganon_hf.core.detection_mesh import MAX_LOOKS, PADDING, SIDE, LandmarkNetwork, Square, agreement
from ganon_hf.core.detection_pyramid import Levels
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Face, box_of_points
from ganon_hf.core.keypoints import five_points, roll_of

BOX, EYES = (178.0, 66.0, 272.0, 188.0), ((204, 101), (247, 103))  # of the astronaut


@pytest.fixture(scope="module")
def network() -> LandmarkNetwork:
    return LandmarkNetwork(read_network(LANDMARKS_FILE))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(skimage_data.astronaut())


@pytest.fixture(scope="module")
def face(detector: YuNetDetector, astronaut: np.ndarray) -> Face:
    (found,) = detector(astronaut)
    return found


def turned(photo: np.ndarray, degrees: float, center: tuple[float, float] = (225, 127)) -> tuple[np.ndarray, np.ndarray]:
    """The photo turned counter-clockwise about a point, and the (2, 3) matrix that does it."""
    matrix = cv2.getRotationMatrix2D(center, degrees, 1.0)
    return cv2.warpAffine(photo, matrix, photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), matrix


def test_landmarks_lie_on_the_face(face: Face) -> None:
    assert face.landmarks is not None
    for iris, eye in zip((468, 473), EYES, strict=True):  # iris centers; the person's right is the picture's left
        assert np.hypot(*(face.landmarks[iris, :2] - eye)) < 4
    assert face.landmarks[1, 2] < face.landmarks[234, 2]  # the nose is nearer than the ear
    x, y, z = np.ptp(face.landmarks, axis=0)
    assert 0.3 * x < z < 1.5 * x and y > 0.8 * x  # one unit for all three
    assert face.box == box_of_points(face.landmarks)


def test_presence_tells_faces_from_what_is_none(network: LandmarkNetwork, astronaut: np.ndarray) -> None:
    levels = Levels(astronaut)
    assert network.fit(levels, Square.of_detection(BOX, 0.0)).presence > 8
    for box in ((10.0, 380.0, 90.0, 480.0), (300.0, 20.0, 400.0, 120.0), (900.0, 900.0, 1000.0, 1000.0)):
        assert network.fit(levels, Square.of_detection(box, 0.0)).presence < 0
    assert network.fit(Levels(np.full((50, 50, 3), 128, np.uint8)), Square.of_detection((10, 10, 40, 40), 0.0)).presence < 0


@pytest.mark.parametrize("degrees", [30, 90, 135, 180, -60])
def test_mesh_turns_with_the_face(network: LandmarkNetwork, astronaut: np.ndarray, face: Face, degrees: float) -> None:
    photo, matrix = turned(astronaut, degrees)
    middle = matrix @ [*np.mean([BOX[:2], BOX[2:]], axis=0), 1]
    box = (middle[0] - 61, middle[1] - 61, middle[0] + 61, middle[1] + 61)
    mesh = network.fit(Levels(photo), Square.of_detection(box, -math.radians(degrees)))
    expected = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]  # type: ignore[index]
    assert np.hypot(*(mesh.points[:, :2] - expected).T).mean() < 0.03 * (BOX[2] - BOX[0])
    assert mesh.presence > 8


def test_it_looks_until_the_square_settles(network: LandmarkNetwork, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = network._look
    monkeypatch.setattr(network, "_look", lambda levels, square: (looks.append(square), look(levels, square))[1])
    good = network.fit(Levels(astronaut), Square.of_detection(BOX, 0.0))
    settled = len(looks)
    network.fit(Levels(astronaut), Square.of_mesh(good.points))
    assert len(looks) - settled == 1  # where it was right at once
    far = network.fit(Levels(astronaut), Square.around(BOX, 0.25, 2.1))
    assert 1 < len(looks) - settled - 1 <= MAX_LOOKS
    assert np.hypot(*(far.points - good.points)[:, :2].T).mean() < 3


def test_squares() -> None:
    square = Square.of_detection((100, 100, 180, 200), 0.0)
    assert square.center[0] == 140 and 150 < square.center[1] < 160 and 80 * PADDING < square.side < 100 * PADDING
    upside_down = Square.of_detection((100, 100, 180, 200), math.pi)
    assert upside_down.center[1] == pytest.approx(300 - square.center[1])  # lower in the face is higher in the photo
    assert square.is_near(square) and square.is_near(replace(square, roll=2 * math.pi))
    assert not square.is_near(replace(square, roll=0.2)) and not square.is_near(replace(square, side=square.side * 1.1))
    assert not square.is_near(replace(square, center=(150, square.center[1])))


@pytest.mark.parametrize(
    ("across", "down", "degrees"),
    [((1, 0), (0, 1), 0), ((0, 1), (-1, 0), 90), ((-1, 0), (0, -1), 180), ((0.01, 0), (0, 1), 0), ((0, 0), (1, 0), -90)],
)
def test_roll(across: tuple[float, float], down: tuple[float, float], degrees: float) -> None:
    assert math.degrees(roll_of(np.array(across), np.array(down))) == pytest.approx(degrees)


def test_agreement_is_that_of_one_face(face: Face) -> None:
    assert face.landmarks is not None
    points = five_points(face.landmarks)
    assert agreement(face.landmarks, face.box, points) == (0.0, pytest.approx(1.0))
    beside = tuple(np.array(face.box) + [60, 0, 60, 0])
    distance, overlap = agreement(face.landmarks, beside, points + [60, 0])  # type: ignore[arg-type]
    assert distance > 0.4 and overlap < 0.4


# -- by hand, and from frame to frame


def test_landmarks_of_a_drawn_box(detector: YuNetDetector, astronaut: np.ndarray, face: Face) -> None:
    for box in (BOX, (168, 56, 282, 198), (185, 75, 265, 180)):
        points = detector.landmarks(astronaut, box)
        assert points is not None and points.shape == (478, 3) and points.dtype == np.float32
        assert np.hypot(*(points - face.landmarks)[:, :2].T).mean() < 3
    assert detector.landmarks(astronaut, (10, 380, 90, 480)) is None
    assert detector.landmarks(astronaut, (900, 900, 1000, 1000)) is None  # wholly outside
    with pytest.raises(ValueError, match="box must be"):
        detector.landmarks(astronaut, (50, 50, 50, 80))


def test_landmarks_of_a_drawn_box_with_its_roll(detector: YuNetDetector, astronaut: np.ndarray, face: Face) -> None:
    height = astronaut.shape[1]
    photo = np.ascontiguousarray(np.rot90(astronaut))
    x_min, y_min, x_max, y_max = face.box
    points = detector.landmarks(photo, (y_min, height - x_max, y_max, height - x_min), roll=-np.pi / 2)
    assert face.landmarks is not None and points is not None
    expected = np.stack([face.landmarks[:, 1], height - face.landmarks[:, 0]], axis=1)
    assert np.hypot(*(points[:, :2] - expected).T).mean() < 0.03 * (x_max - x_min)


def test_follow(detector: YuNetDetector, astronaut: np.ndarray, face: Face) -> None:
    photo, matrix = turned(astronaut, 8)
    moved = np.ascontiguousarray(np.roll(photo, (4, -6), axis=(0, 1)))
    bare = Face(face.box, 0.9)
    gone = Face(face.box, 0.9, face.landmarks + np.array([200, 300, 0], np.float32))  # type: ignore[operator]
    met, nothing, lost = detector.follow(moved, [face, bare, gone])
    assert nothing is None and lost is None and detector.follow(moved, []) == []
    assert met is not None and met.landmarks is not None and met.score == face.score
    expected = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2] + [-6, 4]  # type: ignore[index]
    assert np.hypot(*(met.landmarks[:, :2] - expected).T).mean() < 3


def test_known_faces_are_taken_over(detector: YuNetDetector, astronaut: np.ndarray, face: Face) -> None:
    known = Face(face.box, 0.77, face.landmarks)
    elsewhere = Face((300, 300, 380, 400), 0.9, face.landmarks)
    assert detector(astronaut, known=[elsewhere, known]) == [known]  # taken over as it is; nobody was found at the other


def test_network_wants_its_own_size(network: LandmarkNetwork) -> None:
    with pytest.raises(ValueError):
        network(np.zeros((SIDE // 2, SIDE, 3), np.uint8))


def test_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        LandmarkNetwork(b"")
