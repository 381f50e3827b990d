"""YuNet with its real weights, and the search around it: tiles, passes, turns, thresholds, threads, processes."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scenes
from PIL import Image
from skimage import data as skimage_data

from ganon_hf.core import detection_files, detection_search, detection_yunet
from ganon_hf.core.detection_files import DETECTORS, FOLDER, LANDMARKS_FILE, LANDMARKS_SHA256, YUNET_FILE, YUNET_SHA256, read_network
from ganon_hf.core.detection_search import CREDIBLE_SCORE, MIN_SCORE, YuNetDetector
from ganon_hf.core.detection_yunet import (
    BORDER,
    GRID,
    HALO,
    MAX_TILE_PIXELS,
    Detections,
    Tile,
    YuNet,
    plan_passes,
    plan_tiles,
    suppress,
)
from ganon_hf.core.faces import Face, box_overlap
from ganon_hf.evaluation.metrics.coverage import match_faces
from ganon_hf.training.blendshape_network import BLENDSHAPES_FILE, BLENDSHAPES_SHA256
from ganon_hf.training.person_matte import SELFIE_FILE, SELFIE_SHA256


@pytest.fixture(scope="module")
def network() -> YuNet:
    return YuNet(read_network(YUNET_FILE))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(skimage_data.astronaut())


@pytest.fixture(scope="module")
def small_scene() -> scenes.Scene:
    return make_scene("upright", (24, 32, 48, 96), 640, 480)


def make_scene(condition: str, heights: tuple[int, ...], width: int, height: int) -> scenes.Scene:
    background = scenes._fit(skimage_data.coffee(), height, width)
    cut = 0.4 if condition == "cut" else 0.0
    scene = scenes.compose(scenes.load_heads(limit=8), background, heights, seed=5, max_tilt=45 if condition == "tilted" else 8, cut=cut)
    rng = np.random.default_rng(0)
    changes = {"dark": lambda: scenes.darken(scene.image, rng), "noisy": lambda: scenes.add_noise(scene.image, rng)}
    return scenes.Scene(changes[condition](), scene.faces) if condition in changes else scene


def missed(scene: scenes.Scene, faces: list[Face]) -> list[int]:
    matches, _ = match_faces([truth.box for truth in scene.faces], [face.box for face in faces])
    return [truth.height for truth, match in zip(scene.faces, matches, strict=True) if match is None]


def assert_same(one: list[Face], other: list[Face]) -> None:
    assert [(face.box, face.score) for face in one] == [(face.box, face.score) for face in other]
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.landmarks, b.landmarks) if a.landmarks is not None else b.landmarks is None


# -- the files


def test_networks_are_the_ones_that_code_and_readme_name() -> None:
    readme = (DETECTORS / "README.md").read_text()
    for name, expected in (
        (YUNET_FILE, YUNET_SHA256),
        (LANDMARKS_FILE, LANDMARKS_SHA256),
        (BLENDSHAPES_FILE, BLENDSHAPES_SHA256),
        (SELFIE_FILE, SELFIE_SHA256),
    ):
        assert hashlib.sha256(read_network(name)).hexdigest() == expected
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}`")]
        assert expected in row
        (license_file,) = [word.strip("`") for word in row.replace("|", " ").split() if word.startswith("`LICENSE-")]
        assert (DETECTORS / license_file).is_file()


def test_networks_lie_beside_the_weights_where_this_package_is_not(
    tmp_path: Path, astronaut: np.ndarray, detector: YuNetDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {name: read_network(name) for name in (YUNET_FILE, LANDMARKS_FILE)}
    monkeypatch.setattr(detection_files, "DETECTORS", tmp_path / "not installed")
    with pytest.raises(FileNotFoundError, match="Install ganon-hf"):
        YuNetDetector()
    with pytest.raises(OSError, match="face_detection_yunet"):
        YuNetDetector(source=tmp_path)
    (tmp_path / FOLDER).mkdir()
    for name, content in networks.items():
        (tmp_path / FOLDER / name).write_bytes(content)
    assert_same(YuNetDetector(source=tmp_path, threads=1)(astronaut), detector(astronaut))  # type: ignore[arg-type]
    (tmp_path / FOLDER / YUNET_FILE).write_bytes(networks[YUNET_FILE] + b" ")
    with pytest.raises(ValueError, match="another detector was not measured"):
        YuNetDetector(source=tmp_path)


@pytest.mark.parametrize(
    ("module", "remedy"), [("onnxruntime", "pip install onnxruntime"), ("ai_edge_litert.interpreter", "ai-edge-litert")]
)
def test_missing_library_is_named_with_its_remedy(module: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=remedy):
        YuNetDetector()


# -- tiles and passes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 1), (1080, 1920), (2160, 3840), (333, 9001), (14142, 14142)])
def test_tiles_cover_everything_once_within_the_bound(height: int, width: int) -> None:
    tiles = plan_tiles(height=height, width=width)
    padded = (-(-(height + 2 * BORDER) // GRID) * GRID, -(-(width + 2 * BORDER) // GRID) * GRID)
    assert sum((t.own[2] - t.own[0]) * (t.own[3] - t.own[1]) for t in tiles) == padded[0] * padded[1]
    assert len({t.own for t in tiles}) == len(tiles)
    for tile in tiles:
        assert all(value % GRID == 0 for value in tile.seen + tile.own)
        assert (tile.seen[2] - tile.seen[0]) * (tile.seen[3] - tile.seen[1]) <= MAX_TILE_PIXELS
        for low, high, end in ((0, 2, padded[1]), (1, 3, padded[0])):
            assert tile.seen[low] == max(0, tile.own[low] - HALO) and tile.seen[high] == min(end, tile.own[high] + HALO)


def test_tiles_find_what_the_whole_picture_does(network: YuNet, small_scene: scenes.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = look(network, small_scene.image)
    monkeypatch.setattr(detection_yunet, "MAX_TILE_PIXELS", 448 * 416)
    tiled = look(network, small_scene.image)
    assert len(plan_tiles(height=480, width=640)) == 8
    assert len(whole) == len(tiled) >= 4  # none is cut, and none becomes two
    for box, score in zip(whole.boxes, whole.scores, strict=True):
        overlap = box_overlap(tuple(box), tiled.boxes)[0]
        assert overlap.max() > 0.95 and abs(tiled.scores[overlap.argmax()] - score) < 0.03


def look(network: YuNet, image: np.ndarray) -> Detections:
    tiles = plan_tiles(height=image.shape[0], width=image.shape[1])
    return suppress(Detections.concatenate([network(image, tile, min_score=0.5) for tile in tiles]))


def test_points_are_where_they_are_said_to_be(network: YuNet, astronaut: np.ndarray) -> None:
    found = look(network, astronaut)
    assert found.scores[0] > 0.85  # best first
    right, left, nose, mouth_right, mouth_left = found.points[0]
    assert np.hypot(*(right - (204, 101))) < 5 and np.hypot(*(left - (247, 103))) < 5  # the person's right is the picture's left
    assert right[1] < nose[1] < mouth_right[1] and mouth_right[0] < nose[0] < mouth_left[0]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turned_back(quarters: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    turned = np.rot90(image, quarters)
    points = np.tile([[7.5, 3.5]], (5, 1))[None]
    found = Detections(np.array([[5.0, 2.0, 9.0, 4.0]]), np.ones(1), points).turned_back(quarters, height=30, width=40)
    x, y = found.points[0, 0]
    assert np.array_equal(image[int(y), int(x)], turned[3, 7])  # the same pixel, whose center is at .5
    x_min, y_min, x_max, y_max = found.boxes[0].astype(int)
    assert np.array_equal(np.rot90(image[y_min:y_max, x_min:x_max], quarters), turned[2:4, 5:9])


@pytest.mark.parametrize(
    ("min_face_size", "first", "reason"),
    [(8, 2.0, "enlarged"), (16, 1.0, "as it is"), (24, 1.0, "as it is"), (32, 1.0, "well seen"), (64, 0.5, "half"), (320, 0.1, "a tenth")],
)
def test_passes_halve_until_a_face_may_fill_the_photo(min_face_size: int, first: float, reason: str) -> None:
    scales = plan_passes(height=1080, width=1920, min_face_size=min_face_size)
    assert scales[0] == pytest.approx(first), reason
    assert all(b == a / 2 for a, b in zip(scales, scales[1:], strict=False))
    assert 1920 * scales[-1] <= detection_yunet.LARGEST_SEEN
    assert len(scales) == 1 or 1920 * scales[-2] > detection_yunet.LARGEST_SEEN


def test_a_tile_knows_only_its_own_faces(network: YuNet, astronaut: np.ndarray) -> None:
    left = Tile((0, 0, 576, 576), (0, 0, 224, 576))
    right = Tile((0, 0, 576, 576), (224, 0, 576, 576))
    counts = [len(suppress(network(astronaut, tile, min_score=0.8))) for tile in (left, right)]
    assert sorted(counts) in ([0, 1], [1, 1])  # cells of one face may belong to both; together they are one
    both = [network(astronaut, tile, min_score=0.8) for tile in (left, right)]
    assert len(suppress(Detections.concatenate(both))) == 1


# -- what is found


@pytest.mark.parametrize(
    ("condition", "heights", "width", "height", "reason"),
    [
        ("upright", (24, 32, 48, 96, 192), 960, 640, "every size side by side"),
        ("tilted", (24, 32, 48, 96, 192), 960, 640, "up to 45 degrees"),
        ("dark", (32, 48, 96), 800, 600, "an eighth of the light, with sensor noise"),
        ("noisy", (32, 48, 96), 800, 600, "noise of 20 gray levels"),
        ("cut", (48, 96, 192), 960, 640, "two fifths of each face beyond the frame"),
        ("upright", (60,), 100, 100, "a photo smaller than one tile"),
        ("upright", (300,), 360, 400, "a face that nearly fills the photo"),
        ("upright", (24, 96), 333, 1201, "odd sizes"),
    ],
)
def test_finds_every_face(detector: YuNetDetector, condition: str, heights: tuple[int, ...], width: int, height: int, reason: str) -> None:
    scene = make_scene(condition, heights, width, height)
    assert scene.faces
    assert missed(scene, detector(scene.image)) == [], reason


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_finds_faces_in_photos_that_lie_on_their_side(detector: YuNetDetector, small_scene: scenes.Scene, quarters: int) -> None:
    height, width = small_scene.image.shape[:2]
    turned = np.ascontiguousarray(np.rot90(small_scene.image, quarters))
    boxes = np.array([truth.box for truth in small_scene.faces])
    there = Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))
    there = there.turned_back(-quarters % 4, height=turned.shape[0], width=turned.shape[1]).boxes
    faces = detector(turned)
    matches, _ = match_faces([tuple(box) for box in there], [face.box for face in faces])
    assert None not in matches
    assert faces[0].landmarks is not None  # the mesh, too, lies or stands on its head
    mouth, forehead = faces[0].landmarks[13, :2], faces[0].landmarks[10, :2]
    angle = np.degrees(np.arctan2(*(mouth - forehead)))  # 0 where the face is upright
    assert abs((angle - 90 * quarters + 180) % 360 - 180) < 30 and (height, width) == (480, 640)


@pytest.mark.parametrize("angle", [45, 135, 225, 315])
def test_between_two_quarter_turns_a_mesh_says_how_far_a_face_is_tilted(
    detector: YuNetDetector, astronaut: np.ndarray, angle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = np.asarray(Image.fromarray(astronaut).rotate(angle, expand=True, fillcolor=(128, 128, 128)))
    (face,) = detector(turned)
    assert face.landmarks is not None
    mouth, forehead = face.landmarks[13, :2], face.landmarks[10, :2]
    tilt = np.degrees(np.arctan2(*(mouth - forehead)))
    assert abs((tilt - angle + 180) % 360 - 180) < 15
    monkeypatch.setattr(detection_search, "TILTED_SCORE", 2.0)
    assert all(one.landmarks is None for one in detector(turned))


def test_a_face_upside_down_among_others(detector: YuNetDetector, small_scene: scenes.Scene) -> None:
    image = small_scene.image.copy()
    head = scenes.load_heads(limit=8)[0]
    truth = scenes.paste(image, head, center=(560, 100), height=90, tilt=180)
    matches, _ = match_faces([truth.box], [face.box for face in detector(image)])
    assert matches != [None]


def test_finds_faces_that_fill_the_photo(detector: YuNetDetector) -> None:
    # missed once: most of the first dozen, because the mirrored surroundings of such a face drew four more around it, and two of the
    # others, because their candidates of the photo turned upside down had looked better at first
    file = scenes.FACES / "eval-expressions-00000-of-00001.parquet"
    if not file.exists():
        pytest.skip("needs the evaluation pictures")
    rows = pq.read_table(file, columns=["image"]).slice(0, 36).to_pylist()
    rows = rows[:12] + rows[30:]
    portraits = [np.array(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows]
    assert [number for number, portrait in enumerate(portraits) if not detector(portrait, min_face_size=96)] == []


@pytest.mark.parametrize("name", ["gradient", "noise", "dark-noise", "blobs-8", "blobs-24", "stripes", "discs"])
def test_finds_none_where_there_is_none(detector: YuNetDetector, name: str) -> None:
    assert detector(scenes.made_backgrounds(480, 640)[name]) == []


@pytest.mark.slow
def test_draws_nothing_on_photos_without_people(detector: YuNetDetector) -> None:
    found = {name: detector(image) for name, image in {**scenes.photo_backgrounds(), **scenes.made_backgrounds()}.items()}
    assert [name for name, faces in found.items() for face in faces if face.landmarks is not None] == []
    assert sum(map(bool, found.values())) <= len(found) // 20  # false covers, each of them reported as doubtful
    assert all(face.doubtful and face.score < CREDIBLE_SCORE for faces in found.values() for face in faces)


def test_only_what_is_not_credible_is_doubtful(detector: YuNetDetector, small_scene: scenes.Scene) -> None:
    faces = detector(small_scene.image, min_score=0.2)
    assert {face.doubtful for face in faces} == {True, False}
    assert [face.doubtful for face in faces] == [face.score < CREDIBLE_SCORE for face in faces]
    assert all(face.landmarks is None for face in faces if face.doubtful)


def test_evidence_grows_with_what_is_asked_for(detector: YuNetDetector, small_scene: scenes.Scene) -> None:
    usual, lax = (detector(small_scene.image, min_score=score) for score in (MIN_SCORE, 0.2))
    best = max(face.score for face in usual)
    strict = detector(small_scene.image, min_score=best)
    assert [face.score for face in strict] == [best] and len(usual) <= len(lax)
    assert all(face.score >= MIN_SCORE for face in usual)
    assert all(0 <= face.score <= 1 for face in lax)


def test_a_covered_face_is_covered_from_hair_to_chin(
    detector: YuNetDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = detector(astronaut)
    monkeypatch.setattr(detection_search, "MIN_PRESENCE", 1e9)  # no mesh is good enough
    (bare,) = detector(astronaut)
    assert face.landmarks is not None and bare.landmarks is None
    assert np.all(np.array(bare.box[:2]) <= face.box[:2]) and np.all(np.array(bare.box[2:]) >= face.box[2:])


@pytest.mark.parametrize(("least", "drawn"), [(-1e9, True), (1e9, False)])
def test_where_company_makes_a_face_credible_its_mesh_must_be_clear(
    detector: YuNetDetector, small_scene: scenes.Scene, monkeypatch: pytest.MonkeyPatch, least: float, drawn: bool
) -> None:
    monkeypatch.setattr(detection_search, "CERTAIN", max(face.score for face in detector(small_scene.image)))
    evidence = CREDIBLE_SCORE - 0.02
    monkeypatch.setattr(YuNetDetector, "_evidence", lambda self, _, one, least: (evidence if one.score > 0.5 else 0.0, one))
    monkeypatch.setattr(detection_search, "CLEAR_PRESENCE", least)
    others = sorted(detector(small_scene.image), key=lambda face: face.score)[:-1]
    assert len(others) >= 3 and not any(face.doubtful for face in others)
    assert [face.landmarks is not None for face in others] == [drawn] * len(others)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (2, 2), (20, 300), (31, 33)])
def test_tiny_pictures_hold_no_face(detector: YuNetDetector, shape: tuple[int, int]) -> None:
    assert detector(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)) == []
    assert detector(np.full((*shape, 3), 128, np.uint8)) == []


def test_large_photo_with_one_small_face(detector: YuNetDetector) -> None:
    photo = np.full((3000, 4000, 3), 128, np.uint8)
    truth = scenes.paste(photo[1900:2300, 2400:2900], scenes.load_heads(limit=8)[0], center=(250, 200), height=30)
    (face,) = detector(photo)
    assert match_faces([tuple(np.add(truth.box, (2400, 1900, 2400, 1900)))], [face.box]) == ([0], [])


def test_smaller_faces_are_searched_for_only_when_asked(detector: YuNetDetector) -> None:
    scene = make_scene("upright", (24, 200), 1200, 800)
    assert [face.box[3] - face.box[1] > 100 for face in detector(scene.image, min_face_size=200)] == [True]
    assert missed(scene, detector(scene.image, min_face_size=24)) == []


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((0, 0, 3), np.uint8), "empty"),
        (np.zeros((8, 8), np.uint8), "grayscale"),
        (np.zeros((8, 8, 4), np.uint8), "RGBA"),
        (np.zeros((8, 8, 3), np.float32), "floats"),
        ([[0]], "a list"),
        (None, "nothing"),
    ],
)
def test_what_is_no_photo_is_refused(detector: YuNetDetector, image: object, reason: str) -> None:
    for call in (detector, lambda photo: detector.landmarks(photo, (0, 0, 5, 5)), lambda photo: detector.follow(photo, [])):
        with pytest.raises(ValueError, match="image must be a non-empty RGB uint8 array"):
            call(image)  # type: ignore[operator]


# -- threads and processes


def test_same_photo_same_faces_in_the_same_order(detector: YuNetDetector, small_scene: scenes.Scene) -> None:
    first, again = detector(small_scene.image), YuNetDetector(threads=1)(small_scene.image)
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in first]
    assert len(first) >= 4 and areas == sorted(areas, reverse=True)
    assert_same(first, again)


def test_four_callers_at_once_get_their_own_results(detector: YuNetDetector, small_scene: scenes.Scene, astronaut: np.ndarray) -> None:
    photos = [small_scene.image, astronaut, small_scene.image[:, ::-1], astronaut[:, ::-1]]  # flipped: views, not contiguous
    alone = [detector(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for expected, got in zip(alone * 2, pool.map(detector, photos * 2), strict=True):
            assert_same(expected, got)


def test_detector_travels_by_pickle(detector: YuNetDetector, astronaut: np.ndarray) -> None:
    assert_same(detector(astronaut), pickle.loads(pickle.dumps(detector))(astronaut))


def test_closed_is_closed(astronaut: np.ndarray) -> None:
    closed = YuNetDetector(threads=1)
    closed.close()
    with pytest.raises(RuntimeError):
        closed(astronaut)


def test_threads_must_be_a_number_of_threads() -> None:
    with pytest.raises(ValueError, match="threads must be"):
        YuNetDetector(threads=0)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_works_in_a_forked_process() -> None:
    # in a fresh process: this one has threads of many libraries, beside which nobody should fork
    script = """
import json, os, sys
import numpy as np, skimage.data
from ganon_hf.core.detection_search import YuNetDetector
detector, photo = YuNetDetector(threads=2), np.ascontiguousarray(skimage.data.astronaut())
before = [face.box for face in detector(photo)]
child = os.fork()
if child == 0:
    os._exit(0 if [face.box for face in detector(photo)] == before else 1)
print(json.dumps([len(before), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [1, 0]


def test_nothing_is_said_on_stderr_and_mediapipe_is_not_loaded() -> None:
    script = (
        "import sys, numpy as np, skimage.data as s; from ganon_hf.core.detection_search import YuNetDetector; "
        "print(len(YuNetDetector()(np.ascontiguousarray(s.astronaut()))), 'mediapipe' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout.split(), done.stderr) == (["1", "False"], "")


@pytest.mark.skipif(not scenes.FACES.is_dir(), reason="the chin that makes the spoon a face belongs to a portrait of the data folder")
def test_a_spoon_beside_faces_gets_no_mesh(detector: YuNetDetector) -> None:
    """Highlights in the bowl of a spoon below a chin have a score of 0.83, and a mesh fits them badly."""
    background = scenes._fit(skimage_data.coffee(), 1080, 1920)
    scene = scenes.compose(scenes.load_heads(limit=12), background, (320, 220, 160, 110, 70, 40), seed=0, max_tilt=10)
    faces = detector(scene.image)
    assert not missed(scene, faces)
    assert sum(face.landmarks is not None for face in faces) == len(scene.faces) == 6


def test_a_portrait_is_not_looked_at_closely_in_every_turn(
    detector: YuNetDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirrored border shows all of a small photo; faces that stand on their heads in it made every portrait lie on its side."""
    calls: list[tuple[float, int]] = []
    passes = YuNetDetector._passes

    def counted(self: YuNetDetector, levels: object, some: list[tuple[float, int]]) -> Detections:
        calls.extend(some)
        return passes(self, levels, some)  # type: ignore[arg-type]

    monkeypatch.setattr(YuNetDetector, "_passes", counted)
    portrait = np.ascontiguousarray(astronaut[:400, 40:440])
    assert [face.landmarks is not None for face in detector(portrait)] == [True]
    fine = max(scale for scale, quarters in calls if quarters == 0)
    assert all(scale < fine for scale, quarters in calls if quarters)
    calls.clear()
    (face,) = detector(np.ascontiguousarray(np.rot90(portrait)))
    assert face.landmarks is not None and (fine, 3) in calls
