"""A synthetic face in its photo: light and tone recovered from known ones, nothing of the original inside, nothing changed outside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.alignment import align_face, warp_to_photo
from ganon_hf.core.compositing import MAX_GRAIN, composite_face, cover_face, face_matte, match_border, match_light, match_sharpness
from ganon_hf.core.face_mesh import TRIANGLES
from ganon_hf.core.faces import Crop
from ganon_hf.core.landmarks import triangle_map

SIZE = 96
HEIGHT, WIDTH = 160, 200
Y, X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
SKIN = X**2 + Y**2 < 0.7


def rgb(luma: np.ndarray, blue: np.ndarray | float, red: np.ndarray | float) -> np.ndarray:
    """JFIF, written down here once more; chroma about 0."""
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1).astype(np.float32)


def ycc(picture: np.ndarray) -> np.ndarray:
    luma = picture @ np.array([0.299, 0.587, 0.114])
    return np.stack([luma, (picture[..., 2] - luma) / 1.772, (picture[..., 0] - luma) / 1.402], axis=-1)


LUMA = 130 + 15 * np.sin(9 * X) * np.cos(8 * Y)  # a face: structure about a mean
SYNTHETIC = rgb(LUMA, -12.0, 14.0)
GAIN = 0.8 + 0.25 * X - 0.1 * Y
LIT = rgb((LUMA + 4) * GAIN - 4, -7.0, 10.0)  # the same face under other light, in another tone


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

    def compose(self, photo: np.ndarray, synthetic: np.ndarray = SYNTHETIC, seed: int = 5, **options: bool) -> tuple[np.ndarray, float]:
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


# ---- light and tone


def test_light_and_tone_are_recovered() -> None:
    assert error(SYNTHETIC)[0] > 25 and error(SYNTHETIC)[1:].min() > 3.5, "there is something to recover"
    luma, blue, red = error(match_light(SYNTHETIC, LIT, SKIN))
    assert luma < 2.5 and max(blue, red) < 0.1


OCCLUDERS = {
    "a hand on one cheek": SKIN & (X > 0.1) & (Y > -0.15),
    "one side": SKIN & (X < -0.35),
    "the other side": SKIN & (X > 0.35),
    "a beard": SKIN & (Y > 0.35),
    "a fringe": SKIN & (Y < -0.35),
}


@pytest.mark.parametrize("name", OCCLUDERS)
@pytest.mark.parametrize("color", [(20, 20, 20), (250, 240, 30), (255, 255, 255)])
def test_a_quarter_of_something_else_does_not_count(name: str, color: tuple[int, int, int]) -> None:
    cover = OCCLUDERS[name]
    assert 0.2 < cover.sum() / SKIN.sum() < 0.3
    original = LIT.copy()
    original[cover] = color
    luma, blue, red = error(match_light(SYNTHETIC, original, SKIN))
    assert luma < 4 and max(blue, red) < 0.5  # under the occluder, too: the light runs on


@pytest.mark.parametrize("gain", [1 + 0.7 * X, 0.7 + 0.3 * np.tanh(4 * X), 0.6 - 0.3 * Y])
def test_strong_light_from_one_side_is_light(gain: np.ndarray) -> None:
    lit = rgb((LUMA + 4) * gain - 4, -7.0, 10.0)
    before, after = (np.abs(ycc(picture) - ycc(lit))[SKIN][:, 0].mean() for picture in (SYNTHETIC, match_light(SYNTHETIC, lit, SKIN)))
    assert after < 0.25 * before and after < 10


def test_keep_tone_takes_the_light_and_leaves_level_and_color() -> None:
    result = ycc(match_light(SYNTHETIC, LIT, SKIN, keep_tone=True))
    own = ycc(SYNTHETIC)
    assert np.allclose(result[..., 1:][SKIN], own[..., 1:][SKIN], atol=0.1)
    assert np.median(result[..., 0][SKIN]) == pytest.approx(np.median(own[..., 0][SKIN]), rel=0.05)
    left, right = SKIN & (X < -0.4), SKIN & (X > 0.4)
    assert result[right][:, 0].mean() / result[left][:, 0].mean() == pytest.approx(LIT[right].mean() / LIT[left].mean(), rel=0.1)


def test_without_skin_the_face_stays_as_it_is() -> None:
    few = np.zeros_like(SKIN)
    few[:4, :10] = True
    assert np.array_equal(match_light(SYNTHETIC, LIT, few), SYNTHETIC)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_originals_are_survived(level: int) -> None:
    result = match_light(SYNTHETIC, np.full_like(SYNTHETIC, level), SKIN)
    assert np.isfinite(result).all() and abs(float(ycc(result)[SKIN][:, 0].mean()) - level) < 12


def test_the_border_is_met_and_the_middle_left_alone() -> None:
    matte = face_matte(SKIN)
    result = match_border(SYNTHETIC, SYNTHETIC + 12, matte, SIZE)
    rim, middle = (matte > 0.1) & (matte < 0.6), X**2 + Y**2 < 0.15
    assert np.abs(result - SYNTHETIC - 12)[rim].mean() < 3 and np.abs(result - SYNTHETIC)[middle].max() < 0.5
    assert np.array_equal(match_border(SYNTHETIC, LIT, np.zeros_like(matte), SIZE), SYNTHETIC)


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


# ---- grain


def fine(picture: np.ndarray) -> np.ndarray:
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma - cv2.GaussianBlur(luma, (0, 0), 1.4)


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 0.0, 0.1), (3.0, 1.8, 3.5), (30.0, 2.0, 2 * MAX_GRAIN)])
def test_the_face_gets_the_photos_grain_and_no_more(noise: float, least: float, most: float) -> None:
    smooth = np.full((80, 80, 3), 128, np.float32)
    original = smooth + np.random.default_rng(0).normal(0, noise, (80, 80, 1)).astype(np.float32)
    inside = np.ones((80, 80), bool)
    result = match_sharpness(smooth, original, inside, np.random.default_rng(1))
    assert least <= fine(result)[5:-5, 5:-5].std() <= most
    assert abs(np.vdot(fine(result), fine(original))) <= 0.1 * np.linalg.norm(fine(result)) * np.linalg.norm(fine(original)), (
        "its own grain"
    )
    assert np.allclose(result[..., 0], result[..., 2], atol=1e-3), "grain has no color"


def test_a_grainy_face_in_a_smooth_photo_is_left_alone() -> None:
    grainy = 128 + np.random.default_rng(0).normal(0, 5, (60, 60, 1)).astype(np.float32) * np.ones(3, np.float32)
    result = match_sharpness(grainy, np.full_like(grainy, 128), np.ones((60, 60), bool), np.random.default_rng(1))
    assert np.allclose(result, grainy, atol=0.1)


# ---- composite


def test_nothing_outside_the_face_changes() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for scene in (Scene(), Scene(yaw=40), Scene(60, 50, 40)):
        canvas, change = scene.compose(photo)
        assert np.array_equal(canvas[scene.outside], photo[scene.outside])
        assert (canvas != photo).any(axis=-1)[scene.alpha > 0.9].mean() > 0.99 and change > 20


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
    assert np.abs(results[0] - results[1])[inside].mean() < 2.5


def test_dark_eyes_of_the_original_leave_no_shadow() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spots = -60 * sum(np.exp(-((x - cx) ** 2 + (y - 70) ** 2) / 60) for cx in (85, 115))
    scene = Scene()
    with_eyes, without = (scene.compose(lit_photo(pattern))[0].astype(np.float32) for pattern in (spots, 0.0))
    under = spots < -30
    assert (scene.alpha[under] > 0.99).all() and abs((with_eyes - without)[under].mean()) < 4
    assert (lit_photo(spots).astype(np.float32) - lit_photo())[under].mean() < -40


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


def test_grain_is_drawn_from_the_generator() -> None:
    scene, photo = Scene(), lit_photo(PATTERNS["noise"])
    first, again, other = (scene.compose(photo, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


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


# ---- cover


@pytest.mark.parametrize(
    "box", [(60, 50, 100, 100), (-30, -20, 40, 60), (150, 100, 400, 300), (-50, -50, 500, 500), (20.2, 30.7, 22.1, 31.9)]
)
def test_a_cover_is_one_color_and_no_smaller_than_the_face(box: tuple[float, float, float, float]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    canvas = photo.copy()
    cover_face(canvas, box)
    x_min, y_min = (max(0, int(np.floor(v))) for v in box[:2])
    x_max, y_max = min(WIDTH, int(np.ceil(box[2]))), min(HEIGHT, int(np.ceil(box[3])))
    patch = canvas[y_min:y_max, x_min:x_max].reshape(-1, 3)
    assert len(patch) and (patch == patch[0]).all()
    changed = np.argwhere((canvas != photo).any(axis=-1))
    low, high = changed.min(axis=0), changed.max(axis=0)
    width, height = box[2] - box[0], box[3] - box[1]
    assert low[1] >= box[0] - 0.31 * width - 1 and high[1] <= box[2] + 0.31 * width + 1, "no more than a head"
    assert low[0] >= box[1] - 0.31 * height - 1 and high[0] <= box[3] + 0.31 * height + 1


def test_the_cover_takes_its_color_from_around_the_face() -> None:
    canvas = np.full((HEIGHT, WIDTH, 3), (10, 200, 30), np.uint8)
    canvas[60:100, 80:120] = (255, 0, 255)  # the face
    cover_face(canvas, (80, 60, 120, 100))
    assert (canvas == (10, 200, 30)).all()


def test_the_cover_holds_all_landmarks() -> None:
    scene = Scene(100, 80, 60)
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    canvas[::2] = 255
    cover_face(canvas, (90, 70, 100, 80), scene.landmarks)  # a box that shows the nose alone
    x, y = np.floor(scene.landmarks[:, :2]).astype(int).T
    assert len(np.unique(canvas[y, x], axis=0)) == 1


def test_a_cover_outside_the_photo_does_nothing() -> None:
    canvas = lit_photo()
    cover_face(canvas, (500, 500, 600, 600))
    assert np.array_equal(canvas, lit_photo())
