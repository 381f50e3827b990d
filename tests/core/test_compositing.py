"""A synthetic face in its photo: light and tone recovered from known ones, nothing of the original inside, nothing changed outside."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from lit_face import LIT, SIZE, SKIN, SYNTHETIC, X, Y, ycc
from tiny import face_at

from ganon_hf.core import compositing
from ganon_hf.core.alignment import align_face, warp_to_photo
from ganon_hf.core.compositing import composite_face, face_matte, match_border
from ganon_hf.core.eyes_and_teeth import eye_mask
from ganon_hf.core.face_mesh import MOUTH_START, RIGHT_EYE_START, TRIANGLES
from ganon_hf.core.faces import Crop
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.look import parse_look

HEIGHT, WIDTH = 160, 200


def error(result: np.ndarray, where: np.ndarray = SKIN) -> np.ndarray:
    """(3,) mean absolute difference from the lit face in luma, Cb, Cr."""
    return np.abs(ycc(result) - ycc(LIT))[where].mean(axis=0)


class Scene:
    """A face of a given height at (x, y), its square, and the photo's pixels that belong to it."""

    def __init__(self, x: float = 100, y: float = 80, height: float = 110, yaw: float = 0.0, size: int = SIZE):
        landmarks = face_at(x, y, height, yaw=yaw).landmarks
        assert landmarks is not None
        self.landmarks = landmarks.astype(np.float64)
        self.crop: Crop = align_face(self.landmarks, size)
        self.points = self.crop.to_crop(self.landmarks)
        self.alpha = np.clip(warp_to_photo(face_matte(triangle_map(self.points, size) >= 0), self.crop, (0, 0, WIDTH, HEIGHT)), 0, 1)
        face = np.zeros((HEIGHT, WIDTH), np.uint8)
        for triangle in TRIANGLES:  # in a turned head a little more than the oval
            cv2.fillConvexPoly(face, np.round((self.landmarks[triangle, :2] - 0.5) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        self.outside = cv2.dilate(face, np.ones((3, 3))) == 0

    def compose(self, photo: np.ndarray, synthetic: np.ndarray = SYNTHETIC, seed: int = 5, **options: Any) -> tuple[np.ndarray, float]:
        canvas = photo.copy()
        arguments = {"match_tone": True, "grayscale": False, **options}
        before = synthetic.copy()
        change = composite_face(canvas, synthetic, self.crop, self.points, generator=np.random.default_rng(seed), **arguments)
        assert np.array_equal(synthetic, before), "only the canvas changes"
        return canvas, change


def lit_photo(pattern: np.ndarray | float = 0.0) -> np.ndarray:
    """Skin-colored light that grows to the right, plus a pattern."""
    x = (np.arange(WIDTH) + 0.5) / WIDTH
    light = (0.6 + 0.4 * x)[None, :, None] * np.array([190.0, 150.0, 130.0])
    return np.clip(np.round(light + np.asarray(pattern, float)[..., None] * np.ones((HEIGHT, WIDTH, 1))), 0, 255).astype(np.uint8)


# ---- border


def test_the_border_is_met_and_the_middle_left_alone() -> None:
    matte = face_matte(SKIN)
    result = match_border(SYNTHETIC, SYNTHETIC + 12, matte, SIZE)
    rim, middle = (matte > 0.1) & (matte < 0.6), X**2 + Y**2 < 0.15
    assert np.abs(result - SYNTHETIC - 12)[rim].mean() < 3 and np.abs(result - SYNTHETIC)[middle].max() < 0.5
    assert np.array_equal(match_border(SYNTHETIC, LIT, np.zeros_like(matte), SIZE), SYNTHETIC)


@pytest.mark.parametrize("shade", [45, 70, 110])
def test_hair_brows_and_shadow_at_the_border_stay_outside(shade: float) -> None:
    """A dark strip along one temple, as hair or a brow of the original: the face beside it stays as light as on the other side."""
    matte = face_matte(SKIN)
    original = SYNTHETIC.copy()
    temple = (X < -0.6) & (np.abs(Y) < 0.4)
    original[temple] -= shade
    result = match_border(SYNTHETIC, original, matte, SIZE)
    inside = temple & (matte > 0.5)
    assert inside.sum() > 100 and (result - SYNTHETIC)[inside].mean() > -6
    slightly = match_border(SYNTHETIC, SYNTHETIC - 10 * temple[..., None].astype(np.float32), matte, SIZE)
    rim = temple & (matte > 0.05) & (matte < 0.6) & (np.abs(Y) < 0.3)
    assert (slightly - SYNTHETIC)[rim].mean() < -6, "what can be light is taken"


# ---- matte


@pytest.mark.parametrize("yaw", [0, 45])
def test_the_matte_is_nothing_on_the_outline_and_one_inside(yaw: float) -> None:
    scene = Scene(yaw=yaw)
    mask = triangle_map(scene.points, SIZE) >= 0
    matte = face_matte(mask)
    eroded = cv2.erode(mask.astype(np.uint8), np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8), borderValue=0) > 0
    assert (matte[~eroded] == 0).all(), "outside and on the last pixel of the mesh"
    deep = cv2.erode(mask.astype(np.uint8), np.ones((17, 17)), borderValue=0) > 0
    assert deep.sum() > 500 and (matte[deep] == 1).all()
    assert matte.min() == 0 and matte.max() == 1 and np.abs(np.diff(matte, axis=1)).max() < 0.4


def test_the_matte_fades_where_the_crop_ends() -> None:
    matte = face_matte(np.ones((SIZE, SIZE), bool))
    assert matte[0].max() == matte[:, -1].max() == 0 and matte[SIZE // 2, SIZE // 2] == 1


# ---- composite


def test_nothing_outside_the_face_changes() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for scene in (Scene(), Scene(yaw=40), Scene(60, 50, 40)):
        canvas, change = scene.compose(photo)
        assert np.array_equal(canvas[scene.outside], photo[scene.outside])
        assert (canvas != photo).any(axis=-1)[scene.alpha > 0.9].mean() > 0.99 and change > 20


def fine(picture: np.ndarray) -> np.ndarray:
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma - cv2.GaussianBlur(luma, (0, 0), 1.4)


PATTERNS = {
    "noise": np.random.default_rng(1).normal(0, 12, (HEIGHT, WIDTH)),
    "other noise": np.random.default_rng(2).normal(0, 12, (HEIGHT, WIDTH)),
    "stripes": 12 * np.sign(np.sin(np.arange(WIDTH) * 1.2)) * np.ones((HEIGHT, 1)),
    "checks": 14.0 * (((np.arange(HEIGHT)[:, None] // 3 + np.arange(WIDTH) // 3) % 2) * 2 - 1),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_of_the_original_is_left_inside(name: str) -> None:
    """Neither in the picture nor in its negative: the result has nothing in common with what was there."""
    scene = Scene()
    inside = scene.alpha >= 0.999
    photo = lit_photo(PATTERNS[name])
    canvas, _ = scene.compose(photo)
    assert inside.sum() > 2500
    assert abs(np.corrcoef(fine(canvas)[inside], fine(photo)[inside])[0, 1]) < 0.06
    # the test would see a ghost: a tenth of the original left in the picture
    ghost = np.where(inside[..., None], 0.9 * canvas + 0.1 * photo, canvas)
    assert np.corrcoef(fine(ghost)[inside], fine(photo)[inside])[0, 1] > 0.12


@pytest.mark.parametrize(("first", "second"), [("noise", "other noise"), ("noise", "stripes")])
def test_the_result_depends_on_the_light_alone(first: str, second: str) -> None:
    """Two originals under the same light, with other features: nearly the same result."""
    scene = Scene()
    inside = scene.alpha >= 0.999
    results = [scene.compose(lit_photo(PATTERNS[name]))[0].astype(np.float32) for name in (first, second)]
    originals = [lit_photo(PATTERNS[name]).astype(np.float32) for name in (first, second)]
    assert np.abs(originals[0] - originals[1])[inside].mean() > 10
    assert np.abs(results[0] - results[1])[inside].mean() < 3.5, "stripes count as stronger edges than noise"
    light = [cv2.GaussianBlur(result, (0, 0), 6) for result in results]
    assert np.abs(light[0] - light[1])[inside].mean() < 1.5


def test_dark_eyes_of_the_original_leave_no_shadow() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spots = -60 * sum(np.exp(-((x - cx) ** 2 + (y - 70) ** 2) / 60) for cx in (85, 115))
    scene = Scene()
    with_eyes, without = (scene.compose(lit_photo(pattern))[0].astype(np.float32) for pattern in (spots, 0.0))
    under = spots < -30
    assert (scene.alpha[under] > 0.99).all() and abs((with_eyes - without)[under].mean()) < 4
    assert (lit_photo(spots).astype(np.float32) - lit_photo())[under].mean() < -40


def test_pale_eyes_become_as_dark_as_the_photos_unless_its_tone_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(size=256)
    eyes = eye_mask(triangle_map(scene.points, 256), 256).astype(np.float32)
    synthetic = cv2.resize(SYNTHETIC, (256, 256)) * (1 - 0.45 * eyes[..., None])
    in_photo = np.clip(warp_to_photo(eyes, scene.crop, (0, 0, WIDTH, HEIGHT)), 0, 1)
    photo, where = lit_photo(-0.8 * in_photo * lit_photo()[..., 1]), in_photo > 0.9

    def levels() -> list[float]:
        return [scene.compose(photo, synthetic, match_tone=match_tone)[0][where].mean() for match_tone in (True, False)]

    matched = levels()
    monkeypatch.setattr(compositing, "match_eyes_and_teeth", lambda synthetic, *_: synthetic)
    plain = levels()
    assert matched[0] < plain[0] - 2 and matched[1] == plain[1], (matched, plain)


def test_teeth_are_compared_inside_the_mouth(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, given = Scene(size=256), []
    monkeypatch.setattr(compositing, "match_eyes_and_teeth", lambda synthetic, *more: given.append(more) or synthetic)
    scene.compose(lit_photo(), cv2.resize(SYNTHETIC, (256, 256)))
    ((_, _, eyes, mouth, _, size),) = given
    index = triangle_map(scene.points, 256)
    assert np.count_nonzero(mouth) == np.count_nonzero((index >= MOUTH_START) & (index < RIGHT_EYE_START)) > 20
    assert not (mouth & eyes).any() and size == 256


def blots(height: int, width: int, size: float, seed: int) -> np.ndarray:
    """Sharp edges."""
    return 35 * np.sign(cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((height, width)), (0, 0), size))


def test_in_a_blurred_photo_the_whole_face_is_blurred() -> None:
    """Edges of eyes, nose and mouth of the original are all that says how blurred a photo is."""
    scene = Scene(size=256)
    edges = blots(HEIGHT, WIDTH, 4.0, 4)
    sharp = cv2.resize(SYNTHETIC, (256, 256)) + blots(256, 256, 8.0, 5)[..., None].astype(np.float32)
    results = {}
    for sigma in (0.0, 2.5):
        photo = lit_photo(cv2.GaussianBlur(edges, (0, 0), sigma) if sigma else edges)
        results[sigma] = scene.compose(photo, sharp)[0]
    inside = scene.alpha >= 0.999
    assert fine(results[2.5])[inside].std() < 0.4 * fine(results[0.0])[inside].std()


def test_covers_of_other_faces_say_nothing_of_sharpness_and_light() -> None:
    """A flat, dark cover beside the nose: the face in front of it is neither blurred nor darker."""
    scene = Scene(size=256)
    photo = lit_photo(blots(HEIGHT, WIDTH, 4.0, 4))
    sharp = cv2.resize(SYNTHETIC, (256, 256)) + blots(256, 256, 8.0, 5)[..., None].astype(np.float32)
    hidden = photo.copy()
    hidden[:, 95:] = 40
    covered = scene.crop.to_photo(np.stack(np.meshgrid(*(np.arange(256) + 0.5,) * 2), axis=-1).reshape(-1, 2))[:, 0].reshape(256, 256) > 94
    wanted, careless, careful = (
        scene.compose(one, sharp, covered=known)[0] for one, known in ((photo, None), (hidden, None), (hidden, covered))
    )
    inside = scene.alpha >= 0.999
    detail = [fine(one)[inside].std() for one in (wanted, careless, careful)]
    assert detail[1] < 0.7 * detail[0] and 0.8 * detail[0] < detail[2] < 1.25 * detail[0]
    level = [one[inside].mean() for one in (wanted, careless, careful)]
    assert level[1] < level[0] - 20 and abs(level[2] - level[0]) < 20, "the light grows to the right, where the cover is"


def test_the_face_follows_the_photos_light_and_tone() -> None:
    scene = Scene()
    canvas, _ = scene.compose(lit_photo())
    inside = scene.alpha >= 0.999
    shift = ycc(canvas.astype(np.float32))[inside].mean(axis=0) - ycc(lit_photo().astype(np.float32))[inside].mean(axis=0)
    assert np.abs(shift).max() < 4
    columns = np.nonzero(inside[80])[0]
    third = len(columns) // 3
    luma = ycc(canvas.astype(np.float32))[..., 0]
    left, right = (np.where(inside, luma, np.nan)[:, part] for part in (columns[:third], columns[-third:]))
    assert np.nanmean(right) / np.nanmean(left) > 1.06  # the photo's: 1.13


@pytest.mark.parametrize("level", [0, 255])
def test_hair_and_background_are_not_skin(level: int) -> None:
    scene, photo = Scene(), lit_photo()
    other = photo.copy()
    other[scene.outside] = level
    inside = scene.alpha >= 0.999
    first, second = (scene.compose(one)[0].astype(np.float32) for one in (photo, other))
    assert np.abs(first - second)[inside].mean() < 1


def test_only_a_grown_man_gets_the_photo_s_stubble() -> None:
    face = Scene(height=150.0)
    below = np.arange(HEIGHT) > face.landmarks[2, 1] - 3  # the nose
    photo = lit_photo(np.random.default_rng(2).normal(0, 12, (HEIGHT, WIDTH)) * below[:, None])
    man, woman, girl = (face.compose(photo, look=parse_look(words))[0].astype(float) for words in ("man, 40", "woman, 40", "child"))
    stubble = np.abs(man - woman).max(axis=2)
    assert stubble[below].max() > 8 and stubble[: round(face.landmarks[6, 1])].max() == 0 and np.array_equal(woman, girl)


def test_grain_is_drawn_from_the_generator() -> None:
    scene, photo = Scene(), lit_photo(PATTERNS["noise"])
    first, again, other = (scene.compose(photo, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("match_tone", [True, False])
def test_a_toned_photo_stays_toned(match_tone: bool) -> None:
    """A sepia print: each gray of the face gets the print's color of that gray, lips too."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    gray = np.clip(0.5 + 0.3 * np.sin(x / 30) * np.cos(y / 25) + PATTERNS["noise"] / 600, 0.02, 0.98)
    photo = np.round(255 * np.stack([gray**0.75, gray, gray**1.4], axis=-1)).astype(np.uint8)
    lips = SYNTHETIC.copy()
    lips[60:70, 30:66] = (200, 60, 80)
    scene = Scene()
    canvas, change = scene.compose(photo, lips, match_tone=match_tone)
    inside = scene.alpha >= 0.999
    levels = np.linspace(0.02, 0.98, 300)
    scale = ycc(255 * np.stack([levels**0.75, levels, levels**1.4], axis=-1))
    after = ycc(canvas.astype(np.float32))[inside]
    for channel in (1, 2):
        away = np.abs(after[:, channel] - np.interp(after[:, 0], scale[:, 0], scale[:, channel]))
        assert np.quantile(away, 0.98) < 3.5
    assert change > 3 and np.abs(ycc(lips)[..., 2] - 14).max() > 30


@pytest.mark.parametrize("match_tone", [True, False])
def test_grayscale_stays_gray(match_tone: bool) -> None:
    photo = np.repeat(lit_photo(PATTERNS["noise"])[..., :1], 3, axis=2)
    canvas, change = Scene().compose(photo, grayscale=True, match_tone=match_tone)
    assert change > 3 and (canvas == canvas[..., :1]).all()


def test_a_photo_of_one_color_is_noticed_as_unchanged() -> None:
    """What the engine relies on to see that nothing was replaced: a face equal to the photo changes next to nothing."""
    photo = np.full((HEIGHT, WIDTH, 3), (180, 140, 120), np.uint8)
    _, change = Scene().compose(photo, np.full((SIZE, SIZE, 3), (180, 140, 120), np.float32))
    assert change < 0.5


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [(10, 80, "left"), (190, 80, "right"), (100, 5, "top"), (100, 155, "bottom"), (0, 0, "a corner")],
)
def test_faces_over_the_border(x: float, y: float, why: str) -> None:
    photo = lit_photo(PATTERNS["noise"])
    scene = Scene(x, y)
    canvas, change = scene.compose(photo)
    assert change > 3 and np.array_equal(canvas[scene.outside], photo[scene.outside])
    inside = scene.alpha >= 0.999
    assert inside.sum() > 300 and (canvas != photo).any(axis=-1)[inside].mean() > 0.9, why
    tone = ycc(canvas.astype(np.float32))[inside].mean(axis=0) - ycc(photo.astype(np.float32))[inside].mean(axis=0)
    assert np.abs(tone).max() < 8, "light is read where there is a photo"


def test_the_border_that_is_repeated_is_no_skin() -> None:
    """Half of the face is outside; a frame of one white pixel around the photo would be repeated all over that half."""
    scene, photo = Scene(0, 80), lit_photo()
    framed = photo.copy()
    framed[:, 0] = framed[0] = framed[-1] = 255
    inside = scene.alpha >= 0.999
    inside[:, :8] = False
    first, second = (scene.compose(one)[0].astype(np.float32) for one in (photo, framed))
    assert inside.sum() > 300 and np.abs(first - second)[inside].mean() < 3


def test_a_face_quite_outside_changes_nothing() -> None:
    photo = lit_photo()
    canvas, change = Scene(-400, 80).compose(photo)
    assert change == 0 and np.array_equal(canvas, photo)


@pytest.mark.parametrize("height", [10, 12, 16])
@pytest.mark.parametrize("size", [96, 256])
def test_tiny_faces(height: float, size: int) -> None:
    photo = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    scene = Scene(100.3, 80.7, height, size=size)
    canvas, change = scene.compose(photo, cv2.resize(SYNTHETIC, (size, size)))
    assert change > 3 and np.array_equal(canvas[scene.outside], photo[scene.outside])
    changed = (canvas != photo).any(axis=-1)
    assert changed.sum() > 0.35 * height**2 * 0.8
    original_share = np.abs(canvas.astype(int) - photo)[scene.alpha > 0.5].mean()
    assert original_share > 10, "a face of a dozen pixels is replaced, too"
