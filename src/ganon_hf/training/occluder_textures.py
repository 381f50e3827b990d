"""Surfaces of what may lie in front of a face: cloth with patterns and folds, plain and glossy objects, hair, painted at random.

Convention: textures are (size, size, 3) float32 0..255 RGB before light; fields are (size, size) float32.
"""

from __future__ import annotations

import numpy as np

from ..core.opencv import cv2

# Colors of hair, RGB: black, dark brown, brown, auburn, dark blond, blond, gray, white.
_HAIR = np.array(
    [(22, 20, 20), (45, 32, 26), (80, 56, 40), (96, 52, 34), (130, 100, 70), (190, 160, 115), (120, 118, 116), (200, 198, 194)],
    np.float32,
)
# Colors of surgical and cloth masks, RGB; others are drawn at random.
_CLOTHS = np.array(
    [(245, 245, 243), (235, 238, 240), (150, 200, 220), (120, 180, 200), (160, 215, 190), (25, 25, 28), (40, 50, 80), (240, 200, 210)],
    np.float32,
)


def smooth_noise(size: int, scale: float, generator: np.random.Generator) -> np.ndarray:
    """(size, size) field of about standard normal values that change over ``scale`` pixels."""
    nodes = max(2, round(size / scale) + 2)
    coarse = generator.standard_normal((nodes, nodes)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def plain_color(generator: np.random.Generator) -> np.ndarray:
    """(3,) any color, gray ones more often than by chance."""
    color = generator.uniform(10, 250, 3)
    return (color + (color.mean() - color) * generator.choice([0.0, 0.5, 0.9])).astype(np.float32)


def cloth(size: int, generator: np.random.Generator) -> np.ndarray:
    """Woven or printed cloth: one color, stripes, checks, dots, blots, camouflage, or motifs."""
    base = _CLOTHS[generator.integers(len(_CLOTHS))] + generator.normal(0, 8, 3) if generator.random() < 0.6 else plain_color(generator)
    texture = np.broadcast_to(base.astype(np.float32), (size, size, 3)).copy()
    pattern = generator.choice(["plain", "stripes", "checks", "dots", "blots", "motifs"], p=[0.36, 0.1, 0.08, 0.12, 0.2, 0.14])
    if pattern != "plain":
        for _ in range(int(generator.integers(1, 4))):
            _print(texture, pattern, plain_color(generator), generator)
    texture += generator.uniform(0, 6) * smooth_noise(size, generator.uniform(1.5, 4), generator)[..., None]
    return texture


def _print(texture: np.ndarray, pattern: str, color: np.ndarray, generator: np.random.Generator) -> None:
    size = len(texture)
    if pattern == "dots":
        for _ in range(int(generator.integers(20, 120))):
            middle, radius = generator.integers(0, size, 2), int(generator.integers(2, max(3, size // 18)))
            cv2.circle(texture, (int(middle[0]), int(middle[1])), radius, color.tolist(), generator.choice([-1, 1, 2]), cv2.LINE_AA)
        return
    if pattern == "motifs":
        _print_motifs(texture, color, generator)
        return
    if pattern == "blots":
        where = smooth_noise(size, generator.uniform(6, 30), generator) > generator.uniform(0, 0.8)
    else:
        rows, columns = np.mgrid[:size, :size]
        angle, period = generator.uniform(0, np.pi), generator.uniform(5, 24)
        along = (columns * np.cos(angle) + rows * np.sin(angle)) / period
        across = (rows * np.cos(angle) - columns * np.sin(angle)) / period
        share = generator.uniform(0.2, 0.6)
        where = along % 1 < share if pattern == "stripes" else (along % 1 < share) ^ (across % 1 < share)
    texture[where] = color


def _print_motifs(texture: np.ndarray, color: np.ndarray, generator: np.random.Generator) -> None:
    """One figure many times, upright or turned any way: flowers, hearts, skulls. Some have holes, which look like eyes."""
    size, printed = len(texture), np.zeros(texture.shape[:2], np.uint8)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = 1 + generator.uniform(0, 0.45) * np.cos(int(generator.integers(1, 7)) * turn) + generator.normal(0, 0.06, len(turn))
    outline = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    holes = generator.uniform(-0.5, 0.5, (int(generator.integers(0, 5)), 2))
    scale, spread = generator.uniform(0.012, 0.06) * size, generator.choice([0.2, 6.0])
    for _ in range(int(generator.integers(15, 90))):
        angle, middle, side = generator.normal(0, spread), generator.uniform(0, size, 2), scale * generator.uniform(0.7, 1.2)
        matrix = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        cv2.fillPoly(printed, [np.round(middle + outline @ matrix).astype(np.int32)], 1)
        for hole in holes:
            cv2.circle(printed, np.round(middle + hole @ matrix).astype(int).tolist(), max(1, round(0.22 * side)), 0, -1)
    texture[printed > 0] = color


def folds(size: int, generator: np.random.Generator) -> np.ndarray:
    """Gain of cloth that hangs in folds, about 1."""
    stretched = smooth_noise(size, generator.uniform(8, 30), generator)
    angle = generator.uniform(0, 180)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), angle, 1.0) @ np.diag([generator.uniform(0.25, 1), 1, 1])
    folded = cv2.warpAffine(stretched, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    return (1 + generator.uniform(0.02, 0.14) * folded).clip(0.5, 1.5)


def pleats(size: int, top: float, bottom: float, bend: float, generator: np.random.Generator) -> np.ndarray:
    """Gain of a mask's horizontal pleats between two rows, which bend down towards its middle; about 1."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    rows = rows + bend * np.square(columns / size * 2 - 1)
    gain = np.ones((size, size), np.float32)
    for share in np.linspace(0.2, 0.8, int(generator.integers(2, 5))):
        distance = rows - (top + share * (bottom - top))
        gain -= generator.uniform(0.1, 0.35) * np.exp(-np.square(distance / generator.uniform(0.8, 2))) * (distance > -1.5)
        gain += generator.uniform(0, 0.08) * np.exp(-np.square((distance + 3) / 2))
    return gain


def hair_color(generator: np.random.Generator) -> np.ndarray:
    """(3,) color of hair, now and then dyed."""
    if generator.random() < 0.07:
        return plain_color(generator)
    return (_HAIR[generator.integers(len(_HAIR))] * generator.uniform(0.7, 1.3)).clip(5, 245).astype(np.float32)


def surface(size: int, generator: np.random.Generator) -> np.ndarray:
    """An object of one or two colors, matt or glossy, with an edge, a gradient or some print."""
    texture = np.broadcast_to(plain_color(generator), (size, size, 3)).copy()
    if generator.random() < 0.4:
        _print(texture, str(generator.choice(["stripes", "checks", "dots", "blots"])), plain_color(generator), generator)
    angle, place = generator.uniform(0, 2 * np.pi), np.linspace(-1, 1, size, dtype=np.float32)
    slope = np.cos(angle) * place[None] + np.sin(angle) * place[:, None]
    texture *= (1 + generator.uniform(0, 0.5) * slope)[..., None]
    if generator.random() < 0.4:  # a highlight
        texture += (generator.uniform(40, 160) * np.exp(-np.square((slope - generator.uniform(-0.6, 0.6)) / generator.uniform(0.05, 0.3))))[
            ..., None
        ]
    return texture


def photo_patch(pictures: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """A part of the surroundings of somebody's head, enlarged: clothes from the lower corners, walls from the upper ones.

    Args:
        pictures: (n, s, s, 3) uint8, with a face in the middle.
        size: side of the patch.
        generator: decides which.
    """
    picture = pictures[generator.integers(len(pictures))]
    side = len(picture) // 5
    top = generator.choice([0, len(picture) - side], p=[0.25, 0.75])
    left = generator.choice([0, len(picture) - side])
    patch = picture[top : top + side, left : left + side]
    patch = np.rot90(patch, int(generator.integers(4)))
    patch = cv2.copyMakeBorder(np.ascontiguousarray(patch), side, side, side, side, cv2.BORDER_REFLECT)
    zoom = generator.uniform(1.0, 2.0)
    part = patch[: round(len(patch) / zoom), : round(len(patch) / zoom)]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32)
