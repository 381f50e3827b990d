"""BlazeFace by LiteRT beside MediaPipe's own graphs, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import mediapipe
import numpy as np
import pytest
import scenes
from skimage import data as skimage_data

from ganon_hf.core.detection import MediaPipeDetector
from ganon_hf.core.detection_blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace, BlazeFaceModel, blend, read_network

FOLDER = Path(mediapipe.__file__).parent / "modules"
MODELS = {"full": FULL_RANGE, "short": SHORT_RANGE}
Found = list[tuple[np.ndarray, float]]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    background = scenes._fit(skimage_data.coffee(), 700, 1000)
    return scenes.compose(scenes.load_heads(limit=8), background, (40, 60, 90, 140, 200), seed=3, max_tilt=20).image


def ordered(found: Found) -> Found:
    return sorted(found, key=lambda item: tuple(item[0][0]))


@pytest.mark.mediapipe
@pytest.mark.parametrize("name", ["full", "short"])
def test_agrees_with_mediapipes_graph(photo: np.ndarray, name: str) -> None:
    theirs = MediaPipeDetector(threads=1)
    ours = BlazeFace(read_network(FOLDER, MODELS[name]), MODELS[name], min_score=theirs.CANDIDATE_SCORE)
    graph, compared, rng = theirs._builders()[name](), 0, np.random.default_rng(0)
    for _ in range(40):
        height, width = (int(side) for side in rng.integers(90, 600, 2))
        x, y = int(rng.integers(0, 1000 - width)), int(rng.integers(0, 700 - height))
        image = np.ascontiguousarray(photo[y : y + height, x : x + width])
        expected = theirs._read_detections(theirs._process(graph, image), image)
        got = ours(image)
        # a score within 0.02 of the threshold may fall on either side of it
        expected, got = ([item for item in found if item[1] > theirs.CANDIDATE_SCORE + 0.02] for found in (expected, got))
        if min([abs(score - theirs.CANDIDATE_SCORE - 0.02) for _, score in expected + got], default=1.0) < 0.02:
            continue
        assert len(got) == len(expected)
        for (points, score), (their_points, their_score) in zip(ordered(got), ordered(expected), strict=True):
            size = np.ptp(their_points[:2, 0]) * width
            assert np.abs((points - their_points) * (width, height)).max() < 0.05 * size and abs(score - their_score) < 0.03
            compared += 1
    assert compared > 15


def test_a_missing_network_is_a_missing_module(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="mediapipe==0.10.21"):
        read_network(tmp_path, FULL_RANGE)


def test_anchors_are_the_centers_of_the_networks_places() -> None:
    assert len(FULL_RANGE.anchors()) == 2304 and len(SHORT_RANGE.anchors()) == 896
    assert FULL_RANGE.anchors()[[0, 1, 48]].tolist() == [[2, 2], [6, 2], [2, 6]]
    assert SHORT_RANGE.anchors()[[0, 1, 2, 512, 518]].tolist() == [[4, 4], [4, 4], [12, 4], [8, 8], [24, 8]]
    with pytest.raises(ValueError, match="strides that divide"):
        BlazeFaceModel("a.tflite", 100, ((8, 1),))


def box(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y + side], [x, y]]


@pytest.mark.parametrize(
    ("points", "scores", "expected", "reason"),
    [
        ([], [], [], "nothing"),
        ([box(0, 0, 10)], [0.5], [(box(0, 0, 10), 0.5)], "one"),
        ([box(0, 0, 10), box(2, 0, 10)], [0.75, 0.25], [(box(0.5, 0, 10), 0.75)], "one face: the mean by score, the better score"),
        ([box(0, 0, 10), box(9, 0, 10)], [0.7, 0.6], [(box(0, 0, 10), 0.7), (box(9, 0, 10), 0.6)], "two faces side by side"),
        ([box(0, 0, 0), box(0, 0, 0)], [0.7, 0.6], [(box(0, 0, 0), 0.7), (box(0, 0, 0), 0.6)], "boxes without extent: it ends"),
    ],
)
def test_blend(points: list, scores: list, expected: list, reason: str) -> None:
    got = blend(np.array(points, float).reshape(-1, 3, 2), np.array(scores, float))
    assert len(got) == len(expected), reason
    for (p, s), (q, t) in zip(got, expected, strict=True):
        assert np.allclose(p, q) and s == t, reason
