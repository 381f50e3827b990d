"""A synthetic person's own tone is skin, from very light to dark, and changes skin alone."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.face_mesh import IRIS_PATCH_RADIUS, IRIS_PATCHES, LEFT_EYE_CORNERS, MOUTH_START, RIGHT_EYE_CORNERS, UV_MAP
from ganon_hf.core.landmarks import render_uv_map, triangle_map
from ganon_hf.core.skin_tone import ITA, SkinPainter, lab_to_rgb, skin_on_curve, skin_tone_of

SIZE = 192
LUMA = np.array([0.299, 0.587, 0.114])
TONES = [np.array([value, 0.0, 0.0]) for value in (-1.9, -0.8, 0.0, 0.8, 1.9)]


def typology_angle(lab: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(lab[0] - 50, lab[2])))


def open_face() -> np.ndarray:
    """(478, 3) crop pixels: the UV map itself, in which mouth and eyes stand wide open."""
    irises = []
    for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS):
        center = UV_MAP[list(corners)].mean(axis=0)
        irises += [center, *(center + np.array(step) * 0.02 for step in ((1, 0), (0, -1), (-1, 0), (0, 1)))]
    points = np.concatenate([UV_MAP, irises]) * (0.8 * SIZE) + 0.1 * SIZE
    return np.hstack([points, np.zeros((478, 1))])


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A face of even skin with teeth and whites of the eyes as bright as paper: picture, UV map, points, where things are."""
    points = open_face()
    owner = triangle_map(points, SIZE)
    uv_map = render_uv_map(points, SIZE)[0].transpose(2, 0, 1)
    iris = np.min([np.hypot(uv_map[0] - x, uv_map[1] - y) for x, y in IRIS_PATCHES], axis=0) < 0.6 * IRIS_PATCH_RADIUS
    opening = owner >= MOUTH_START
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    picture[:] = (166, 116, 98)
    picture[opening] = 140
    picture[iris] = (60, 70, 80)
    away = np.ones((SIZE, SIZE), bool)
    for mask in (opening, iris):  # three pixels from every edge: the seam between the parts is soft
        grown = np.zeros_like(mask)
        for down in range(-3, 4):
            for right in range(-3, 4):
                grown |= np.roll(mask, (down, right), (0, 1)) != mask
        away &= ~grown
    return picture, uv_map, points, {"skin": (owner >= 0) & ~opening & away, "bright": opening & ~iris & away, "iris": iris}


@pytest.fixture(scope="module")
def painter() -> SkinPainter:
    return SkinPainter(np.array([166.0, 116.0, 98.0]))


# ---- tones


def test_the_curve_keeps_the_published_classes_and_goes_from_light_to_dark() -> None:
    curve = [skin_on_curve(position) for position in np.linspace(0, 1, 61)]
    angles, lightness = [typology_angle(lab) for lab in curve], [lab[0] for lab in curve]
    assert all(first > second for first, second in zip(angles, angles[1:], strict=False))
    assert all(first > second for first, second in zip(lightness, lightness[1:], strict=False))
    assert [round(typology_angle(skin_on_curve(step / 6)), 6) for step in range(1, 6)] == [55, 41, 28, 10, -30]
    assert 68 < lightness[0] < 75 and 26 < lightness[-1] < 36
    chroma = np.array([np.hypot(lab[1], lab[2]) for lab in curve])
    assert 0 < chroma.argmax() < 60 and chroma.max() < 26, "the middle tones are the most colorful"
    assert all(9 < lab[1] < 15 and lab[2] > lab[1] for lab in curve), "neither pink nor gray"


def test_every_class_is_drawn_alike() -> None:
    values = np.random.default_rng(0).standard_normal((8000, 3))
    values = values[(np.abs(values) <= 2).all(axis=1)]
    angles = np.array([typology_angle(skin_tone_of(value)) for value in values])
    shares = np.histogram(angles, ITA[::-1])[0] / len(angles)
    assert shares == pytest.approx(np.full(6, 1 / 6), abs=0.025)
    reds = np.array([skin_tone_of(np.array([0.3, value, 0.0]))[1] for value in (-2, 0, 2)])
    assert 0 < reds[2] - reds[0] < 5, "people of one darkness differ a little"


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((100, 0, 0), (255, 255, 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((53.585, 0, 0), (128, 128, 128)),
        ((53.24, 80.09, 67.20), (255, 0, 0)),  # red of sRGB
    ],
)
def test_lab_is_converted(lab: tuple[float, ...], rgb: tuple[int, ...]) -> None:
    assert lab_to_rgb(np.array(lab)) == pytest.approx(np.array(rgb), abs=1.5)


# ---- faces


def test_skin_gets_the_tone(face: tuple, painter: SkinPainter) -> None:
    picture, uv_map, points, where = face
    before = -1.0
    for tone in TONES[::-1]:
        painted = painter.paint(picture, uv_map, points, tone)
        wanted = lab_to_rgb(skin_tone_of(tone))
        assert np.median(painted[where["skin"]], axis=0) == pytest.approx(wanted, abs=3)
        assert float(LUMA @ wanted) > before, "from dark to light"
        before = float(LUMA @ wanted)


def test_teeth_and_whites_of_the_eyes_keep_their_luma(face: tuple, painter: SkinPainter) -> None:
    picture, uv_map, points, where = face
    assert where["bright"].sum() > 50
    lumas = [painter.paint(picture, uv_map, points, tone)[where["bright"]] @ LUMA for tone in TONES]
    assert all(np.abs(luma - lumas[0]).max() < 1 for luma in lumas) and lumas[0].mean() >= 140


def test_irises_darken_in_part_and_never_grow_lighter(face: tuple, painter: SkinPainter) -> None:
    picture, uv_map, points, where = face
    lumas = [float(np.median(painter.paint(picture, uv_map, points, tone)[where["iris"]] @ LUMA)) for tone in TONES]
    skin = [float(np.median(painter.paint(picture, uv_map, points, tone)[where["skin"]] @ LUMA)) for tone in TONES]
    assert lumas[-1] < 0.9 * lumas[0] and lumas[-1] / lumas[0] > skin[-1] / skin[0]
    assert lumas[0] <= 70 * painter.exposure + 1


def test_brows_stay_darker_than_dark_skin(face: tuple, painter: SkinPainter) -> None:
    picture, uv_map, points, where = face
    rows, columns = np.nonzero(where["skin"])
    hairy = picture.copy()
    brow = (slice(rows.min() + 30, rows.min() + 36), slice(SIZE // 2 - 3, SIZE // 2 + 3))
    hairy[brow] *= 0.6
    painted = painter.paint(hairy, uv_map, points, TONES[-1]) @ LUMA
    assert np.median(painted[brow]) < 0.6 * np.median(painted[where["skin"]]) and len(columns)


def test_nothing_is_burnt_out(face: tuple, painter: SkinPainter) -> None:
    picture, uv_map, points, _ = face
    painted = painter.paint(np.minimum(picture * 1.7, 255), uv_map, points, TONES[0])
    assert painted.max() < 255


def test_a_painter_measures_the_neutral_skin() -> None:
    luma, chroma = np.full((32, 32), 120.0), np.stack([np.full((16, 16), -15.0), np.full((16, 16), 20.0)])
    neutral = SkinPainter.of(luma, chroma).neutral
    assert neutral == pytest.approx([148.0, 110.9, 93.4], abs=0.2)
    with pytest.raises(ValueError, match="neutral must be three positive"):
        SkinPainter(np.array([0.0, 1.0, 1.0]))
