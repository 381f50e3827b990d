"""Attempts to get the original pixels of a face out of the engine: wrong faces, wrong boxes, faces over each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import KnownFaces, face_at, noise_photo, same, tiny_engine, tiny_model, tiny_processor

from ganon_hf.core.alignment import align_face
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.compositing import composite_face, face_matte, feature_mask
from ganon_hf.core.cover_shape import head_outline, outline_mask
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import AnonymizationResult, Box, Face, box_of_points, clip_box
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.options import AnonymizeOptions


@pytest.fixture(scope="module")
def large() -> Anonymizer:
    return Anonymizer(tiny_model(image_size=256), tiny_processor(image_size=256), KnownFaces({}))


def run(faces: object, engine: Anonymizer | None = None) -> tuple[np.ndarray, AnonymizationResult]:
    result = (engine or tiny_engine())(noise_photo(), AnonymizeOptions(seed=7), faces=faces)  # type: ignore[arg-type]
    return np.asarray(result.image), result


def survivors(after: np.ndarray, box: Box) -> float:
    """Share of a box's pixels that are those of the photo."""
    region = clip_box(box, height=after.shape[0], width=after.shape[1])
    assert region is not None
    x_min, y_min, x_max, y_max = region
    return float((after == noise_photo())[y_min:y_max, x_min:x_max].all(axis=2).mean())


class Loose:
    """A face of somebody else's making, which nothing has checked."""

    def __init__(self, box: object, landmarks: object = None) -> None:
        self.box, self.score, self.landmarks = box, 0.9, landmarks


# -- landmarks and box that do not belong together


@pytest.mark.parametrize(
    "box",
    [face_at(110, 60).box, (0.0, 0.0, 160.0, 120.0), (60.0, 40.0, 120.0, 110.0)],
    ids=["beside the landmarks", "much larger than them", "half beside them"],
)
@pytest.mark.parametrize("source", ["by hand", "detector"])
def test_landmarks_of_another_face_do_not_leave_this_one_standing(box: Box, source: str) -> None:
    """Before, the synthetic face went where the landmarks were, and the face in the box was reported as replaced."""
    face = Face(box, 0.9, face_at(45, 60).landmarks)
    after, result = run([face]) if source == "by hand" else run(None, tiny_engine({(160, 120): [face]}))
    assert result.faces[0].status == "covered" and "landmarks lie elsewhere" in result.faces[0].reason
    assert survivors(after, box) < 0.01 and survivors(after, face_at(45, 60).box) < 0.01


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.25, 1.6])
def test_boxes_of_other_detectors_are_tighter_or_wider_than_the_mesh(factor: float) -> None:
    x_min, y_min, x_max, y_max = face_at(80, 60, 50).box
    width, height = (x_max - x_min) * factor / 2, (y_max - y_min) * factor / 2
    face = Face((80 - width, 60 - height, 80 + width, 60 + height), 0.9, face_at(80, 60, 50).landmarks)
    assert run([face])[1].num_replaced == 1


# -- what is no face is an error, never a photo with a face that was "covered" nowhere


@pytest.mark.parametrize(
    "face",
    [
        (0.1, 0.1, 0.5, 0.5),
        (0, 0, 1, 1),
        Loose((90, 90, 30, 30)),
        Loose((float("nan"),) * 4),
        Loose(face_at(60, 60).box, np.zeros((68, 2))),
        Loose(face_at(60, 60).box, np.full((478, 3), np.nan)),
    ],
    ids=["shares of the photo", "the whole photo as shares", "corners exchanged", "no numbers", "68 points", "points that are no numbers"],
)
def test_what_cannot_be_a_face_raises(face: object) -> None:
    with pytest.raises(ValueError, match="pixels|finite"):
        run([face])


@pytest.mark.parametrize("box", [(90, 90, 30, 30), (float("nan"),) * 4], ids=["corners exchanged", "no numbers"])
def test_a_detector_that_returns_nonsense_gives_no_photo(box: object) -> None:
    def detector(image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[object]:
        return [Loose(box)]

    engine = Anonymizer(tiny_model(), tiny_processor(), detector)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        run(None, engine)


def test_landmarks_as_lists_are_landmarks() -> None:
    face = face_at(60, 60)
    assert face.landmarks is not None
    assert run([Loose(list(face.box), face.landmarks.tolist())])[1].num_replaced == 1


# -- faces over each other


@pytest.mark.parametrize("covered", [0, 1], ids=["the larger one is covered", "the smaller one is covered"])
def test_a_replaced_face_does_not_uncover_another(covered: int) -> None:
    pair = [face_at(70, 60, 70), face_at(85, 60, 45)]
    pair[covered] = Face(pair[covered].box, 0.9)
    after, result = run(pair)
    # a face that lies on a cover is covered, too; a cover that lies on a replaced face stays under it
    assert [report.status for report in result.faces] == (["covered", "covered"] if covered == 0 else ["replaced", "covered"])
    assert survivors(after, pair[covered].box) < 0.01


def bare(face: Face, *, doubtful: bool = False) -> Face:
    return Face(face.box, 0.9, doubtful=doubtful)


def colors(picture: np.ndarray, box: Box) -> int:
    region = clip_box(box, height=picture.shape[0], width=picture.shape[1])
    assert region is not None
    return len(np.unique(picture[region[1] : region[3], region[0] : region[2]].reshape(-1, 3), axis=0))


@pytest.mark.parametrize("doubtful", [False, True])
@pytest.mark.parametrize("x", [94, 100, 110], ids=["a quarter of it", "a little", "beside it"])
def test_nothing_is_painted_or_moved_onto_a_covered_face(x: float, doubtful: bool) -> None:
    engine, other, hidden = tiny_engine(), face_at(55, 60, 70), bare(face_at(x, 60, 50), doubtful=doubtful)
    plan = engine.plan(noise_photo(), AnonymizeOptions(seed=7), faces=[other, hidden])
    warp = plan.faces[0].head_warp
    assert warp is not None and np.abs(warp.shifts).max() > 1 and warp.box[2] > hidden.box[0] + 1, "the head beside it is warped"
    picture, reports = engine.paint(plan, engine.generate(plan.inputs))
    assert [report.status for report in reports] == ["replaced", "doubtful" if doubtful else "covered"]
    synthetic = plan.faces[0]
    assert synthetic.crop is not None and synthetic.points is not None
    beside = ~outline_mask([cv2.convexHull(synthetic.crop.to_photo(synthetic.points)[:, :2].astype(np.float32))[:, 0]], (0, 0, 160, 120))
    beside &= outline_mask(head_outline(hidden), (0, 0, 160, 120))
    assert len(np.unique(picture[beside], axis=0)) == 1 and beside.sum() > 1000, "the cover lies beside the synthetic face, undisturbed"
    assert survivors(picture, hidden.box) < 0.01 and survivors(picture, other.box) < 0.1


OVERLAPS = {
    "beside each other": (face_at(55, 60, 70), face_at(96, 60, 50)),
    "a small one in a large one": (face_at(70, 60, 80), face_at(75, 75, 25)),
    "a large one around a small one": (face_at(75, 75, 40), face_at(70, 60, 80)),
    "one on the other": (face_at(70, 60, 70), face_at(75, 62, 72)),
    "two fifths of it": (face_at(60, 60, 60), face_at(88, 60, 60)),
    "three fifths of it": (face_at(60, 60, 60), face_at(83, 60, 80)),
}


@pytest.mark.parametrize("people", [None, [0, 1]], ids=["photo", "video"])
@pytest.mark.parametrize("doubtful", [False, True])
@pytest.mark.parametrize("pair", OVERLAPS)
def test_the_picture_does_not_depend_on_a_covered_face(pair: str, doubtful: bool, people: list[int] | None) -> None:
    """Whatever the cover hides: not one pixel of the result may tell."""
    (other, hidden), engine = OVERLAPS[pair], tiny_engine()
    faces, before = [other, bare(hidden, doubtful=doubtful)], noise_photo()
    changed = before.copy()
    x_min, y_min, x_max, y_max = (round(value) for value in hidden.box)
    changed[y_min:y_max, x_min:x_max] = np.random.default_rng(1).integers(60, 220, (y_max - y_min, x_max - x_min, 3))
    plans = [engine.plan(photo, AnonymizeOptions(seed=7), faces=faces, people=people) for photo in (before, changed)]
    (first, reports), (second, _) = (engine.paint(plan, engine.generate(plan.inputs)) for plan in plans)
    assert same(first, second)
    assert survivors(first, hidden.box) < 0.01 and reports[[one.box for one in reports].index(hidden.box)].reason


@pytest.mark.parametrize(
    ("pair", "doubtful", "replaced"),
    [
        ("a small one in a large one", True, True),  # a mouth, say, that looks like a face
        ("a small one in a large one", False, True),
        ("a large one around a small one", False, False),
        ("one on the other", False, True),
        ("two fifths of it", True, True),  # what is doubtful does not cost half of a face
        ("two fifths of it", False, True),  # the cover lies behind it
        ("three fifths of it", False, False),
    ],
)
def test_which_of_two_faces_gives_way(pair: str, doubtful: bool, replaced: bool) -> None:
    (other, hidden) = OVERLAPS[pair]
    after, result = run([other, bare(hidden, doubtful=doubtful)])
    reports = {report.box: report for report in result.faces}
    assert reports[hidden.box].status == ("doubtful" if doubtful else "covered")
    assert reports[other.box].status == ("replaced" if replaced else "covered")
    assert reports[other.box].reason == ("" if replaced else "it lies on a face that is covered")
    assert (colors(after, hidden.box) > 2) == replaced, "the synthetic face is whole where it is painted; else there are two covers"


def test_in_a_video_and_in_a_crop_covers_hide_no_other_face() -> None:
    engine, (other, hidden) = tiny_engine(), OVERLAPS["two fifths of it"]
    faces = [other, bare(hidden)]
    frame = engine.plan(noise_photo(), AnonymizeOptions(seed=7), faces=faces, people=[0, 1])
    crop = engine.plan(noise_photo(), AnonymizeOptions(seed=7, output="crop"), faces=faces)
    for plan in (frame, crop):
        reports = engine.paint(plan, engine.generate(plan.inputs))[1]
        assert {report.box: report.status for report in reports} == {other.box: "replaced", hidden.box: "covered"}


def test_nothing_of_a_covered_face_colors_the_rim_of_the_one_before_it(large: Anonymizer) -> None:
    before = noise_photo(400, 400)
    hidden = Face((250, 150, 380, 290), 0.9)
    other = before.copy()
    other[150:290, 250:380] //= 2
    pair = [face_at(200, 200, 280), hidden]
    results = [large(photo, AnonymizeOptions(seed=7), faces=pair) for photo in (before, other)]
    assert [report.status for report in results[0].faces] == ["replaced", "covered"]
    assert same(results[0].image, results[1].image)


# -- turned heads: eyes, nose and mouth reach the outline, where the original used to shine through the feather


@pytest.mark.parametrize("geometry", ["anonymous", "original"])
@pytest.mark.parametrize("yaw", [0, 30, -45, 52, -58, 64])
def test_nothing_of_eyes_nose_and_mouth_shines_through(large: Anonymizer, yaw: float, geometry: str) -> None:
    face, before = face_at(200, 200, 260, yaw=yaw), noise_photo(400, 400)
    assert face.landmarks is not None
    result = large(before, AnonymizeOptions(seed=7, geometry=geometry), faces=[face])
    if yaw == 64 and not result.num_replaced:  # a synthetic head turned a little further has no room left for the far eye
        assert "would not hide" in result.faces[0].reason
        return
    assert result.num_replaced == 1
    first, second = before.astype(float), np.asarray(result.image).astype(float)
    for group in ([1, 2, 4, 5, 19, 94], [33, 133, 145, 159], [263, 362, 374, 386], [0, 17, 61, 291]):
        x_min, y_min, x_max, y_max = box_of_points(face.landmarks[group])
        here = np.zeros((400, 400), bool)
        here[int(y_min) : int(y_max) + 1, int(x_min) : int(x_max) + 1] = True
        here &= triangle_map(face.landmarks, 400) >= 0  # beside the nose of a turned head lies the background
        correlation = np.corrcoef(first[here].ravel(), second[here].ravel())[0, 1]
        assert abs(correlation) < 0.25, f"points {group}"


def test_the_matte_is_full_over_the_features_and_soft_elsewhere() -> None:
    face = face_at(200, 200, 260, yaw=50)
    assert face.landmarks is not None
    points = align_face(face.landmarks.astype(float), 256).to_crop(face.landmarks)
    mask, features = triangle_map(points, 256) >= 0, feature_mask(points, 256)
    assert (face_matte(mask)[features] > 0.98).mean() < 0.8, "the feather alone is no protection"
    assert (face_matte(mask, features)[features] > 0.98).mean() > 0.97
    nothing = np.zeros_like(features)
    assert np.allclose(face_matte(mask, nothing), face_matte(mask)) and (face_matte(mask, features) >= face_matte(mask)).all()
    assert not face_matte(mask, features)[~mask].any()


def test_a_synthetic_face_beside_the_original_covers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange of identity must not move the new face off the old one's features: the head cannot follow that far."""
    engine = tiny_engine()
    monkeypatch.setattr(type(engine.shape_model), "anonymize", lambda model, points, identity, privacy: points + [40.0, 0.0, 0.0])
    _, result = run([face_at(60, 60)], engine)
    assert result.faces[0].status == "covered" and "outlines lie too far apart" in result.faces[0].reason


def test_a_hard_outline_is_not_sharpened_to_a_line() -> None:
    face = face_at(80, 60, 90)
    assert face.landmarks is not None
    crop = align_face(face.landmarks.astype(float), 256)
    points = crop.to_crop(face.landmarks)
    photo = np.clip(np.random.default_rng(0).normal(120, 12, (120, 160, 3)), 0, 255).astype(np.uint8)
    canvas = photo.copy()
    flat = np.full((256, 256, 3), 120, np.float32)
    everything = triangle_map(points, 256) >= 0
    generator = np.random.default_rng(0)
    composite_face(canvas, flat, crop, points, match_tone=True, grayscale=False, generator=generator, features=everything)
    assert canvas.max() <= photo.max() + 12


# -- photos that lie on their side or their head


@pytest.mark.detection
@pytest.mark.parametrize("angle", [90, 135, 180, 225, 270])
def test_faces_are_found_however_the_photo_is_turned(astronaut: Image.Image, angle: int) -> None:
    """Upside down, four of five portraits went through as photos without a face."""
    turned = np.asarray(astronaut.rotate(angle, expand=True, fillcolor=(128, 128, 128)))
    detector = YuNetDetector()
    try:
        (face,) = detector(turned)
    finally:
        detector.close()  # type: ignore[attr-defined]
    assert face.landmarks is not None


def test_a_face_that_cannot_be_put_back_is_covered() -> None:
    engine, face = tiny_engine(), face_at(80, 60)
    plan = engine.plan(noise_photo(), AnonymizeOptions(seed=7), faces=[face])
    result = engine.compose(plan, [np.zeros((10, 12, 3), np.float32)])  # not the size of the crop
    assert result.faces[0].status == "covered" and "put back" in result.faces[0].reason
    assert survivors(np.asarray(result.image), face.box) < 0.01
