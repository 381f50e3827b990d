"""What people wear in front of their faces, drawn over the mesh of one: masks, scarves, hats, spectacles, and hair.

Every function takes a :class:`.Scene` and returns layers from back to front. Nothing here is meant to be pretty: edges, places, sizes,
folds and light must vary at least as much as they do in photos.
"""

from __future__ import annotations

import numpy as np

from ..core.face_mesh import CHIN, FACE_OVAL, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from ..core.geometry import normalize_pose
from ..core.occluders import CLOTH, GLASSES, HAIR, OBJECT, SUNGLASSES
from ..core.opencv import cv2
from .occluder_scene import BINARY_PLACES, Layer, Scene, fill, smooth_curve, soft, stroke
from .occluder_textures import folds, hair_color, plain_color, pleats, smooth_noise, surface

_BRIDGE = (168, 6, 197, 195, 5, 4, 1, 2)  # points of the nose from between the eyes to below the tip
_MOUTH = (13, 14, 61, 291)


def mask(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A medical mask, a cloth mask, or a respirator, with its loops."""
    points, size = scene.points[:, :2].astype(np.float64), scene.size
    middle = points[list(_MOUTH)].mean(axis=0)
    height = float(np.linalg.norm(points[FACE_OVAL[0]] - points[CHIN]))
    axis = (points[CHIN] - points[FACE_OVAL[0]]) / max(height, 1e-6)
    place = generator.uniform(1.5, 5.0) if generator.random() < 0.88 else generator.uniform(5.0, 7.0)  # below the nose: worn badly
    first = int(place)
    nose = points[_BRIDGE[first]] + (place - first) * (points[_BRIDGE[min(first + 1, 7)]] - points[_BRIDGE[first]])
    if generator.random() < 0.22:  # a cup over nose and mouth that leaves the cheeks free
        center = (nose + points[CHIN]) / 2 + axis * generator.uniform(-0.03, 0.05) * height
        tall = float(np.linalg.norm(points[CHIN] - nose)) / 2 * generator.uniform(0.9, 1.15)
        wide = generator.uniform(0.5, 0.85) * float(np.linalg.norm(points[323] - points[93])) / 2
        turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        across = np.array([-axis[1], axis[0]])
        top = 1 - generator.uniform(0, 0.45) * (np.cos(turn) > 0) * np.cos(turn)
        outline = center + np.outer(np.sin(turn) * wide * top, across) - np.outer(np.cos(turn) * tall, axis)
        corners = [center - across * wide * 0.9 - axis * tall * 0.2, center + across * wide * 0.9 - axis * tall * 0.2]
    else:
        jaw = points[FACE_OVAL[9:28]]  # from the ear in the picture's right over the chin to the left one
        start = int(generator.integers(0, 3))
        jaw = jaw[start : len(jaw) - start]
        jaw = (
            middle
            + (jaw - middle) * generator.uniform(0.92, 1.1)
            + np.outer(np.linspace(-1, 1, len(jaw)) ** 2 < 0.4, axis) * (generator.uniform(-0.02, 0.12) * height)
        )
        cheeks = points[[117, 346]] + generator.uniform(-0.06, 0.06) * height * axis
        if place > 4:
            cheeks = (cheeks + points[[205, 425]]) / 2 + axis * 0.04 * height
        corners = [jaw[-1], jaw[0]]
        outline = np.concatenate([jaw, [cheeks[0] * 0.5 + jaw[-1] * 0.5, cheeks[0], nose, cheeks[1], cheeks[1] * 0.5 + jaw[0] * 0.5]])
        outline = smooth_curve(outline + generator.normal(0, 0.012 * height, outline.shape))
    alpha = soft(fill(size, outline), generator)
    texture = scene.texture(generator)
    upper, lower = float(outline[:, 1].min()), float(outline[:, 1].max())
    if generator.random() < 0.5:
        texture = texture * pleats(size, upper, lower, generator.uniform(-6, 6), generator)[..., None]
    texture = texture * folds(size, generator)[..., None] * _roundness(alpha, size, generator)[..., None]
    if generator.random() < 0.35:  # seam in the middle, or an edge
        texture = texture * (1 - generator.uniform(0.1, 0.4) * stroke(size, np.array([nose, points[CHIN]]), 1.5))[..., None]
    if generator.random() < 0.4:
        texture = texture * (1 + generator.uniform(-0.3, 0.2) * stroke(size, outline, 2.5, closed=True))[..., None]
    layers = []
    if generator.random() < 0.7:
        ears = points[[127, 356]] + (points[[127, 356]] - middle) * generator.uniform(0.0, 0.12)
        color = scene.lit(np.broadcast_to(np.float32(generator.uniform(20, 245)), (size, size, 3)).copy(), generator)
        for corner, ear in zip(corners, ears, strict=True):
            for shift in (0, generator.uniform(0.1, 0.3)):
                line = smooth_curve(np.array([corner + shift * height * 0.6 * axis, (corner + ear) / 2, ear]), closed=False)
                layers.append(Layer(CLOTH, color, stroke(size, line, generator.uniform(0.7, 2.2))))
    return [*layers, Layer(CLOTH, scene.lit(texture, generator), alpha, generator.uniform(0, 0.5))]


def _roundness(alpha: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Gain of something round, darker towards its edge."""
    inside = cv2.GaussianBlur(alpha, (0, 0), size * generator.uniform(0.03, 0.08))
    return 1 - generator.uniform(0, 0.5) * (1 - inside)


def scarf(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """Cloth over the lower part of the face and everything below."""
    points, size = scene.points[:, :2], scene.size
    tip = points[int(generator.choice([195, 4, 2, 0, 17, 18, 200]))]
    rise = generator.uniform(-0.1, 0.25) * scene.unit
    left, right = np.array([-2.0, points[234, 1] - rise]), np.array([size + 2.0, points[454, 1] - rise])
    line = smooth_curve(
        np.array([left, points[117] * 0.5 + points[205] * 0.5, tip, points[425] * 0.5 + points[346] * 0.5, right]), closed=False
    )
    line = line + generator.normal(0, 0.01 * size, line.shape)
    polygon = np.concatenate([line, [[size + 2, size + 2], [-2, size + 2]]])
    texture = scene.texture(generator) * folds(size, generator)[..., None] * folds(size, generator)[..., None]
    return [Layer(CLOTH, scene.lit(texture, generator), soft(fill(size, polygon), generator), generator.uniform(0, 0.6))]


def hat(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A hat, cap, helmet, hood or headscarf over the forehead and everything above."""
    points, size = scene.points[:, :2], scene.size
    share = generator.uniform(0.15, 0.95)
    brow, top = points[[70, 105, 9, 334, 300]].astype(np.float64), points[[54, 67, 10, 297, 284]].astype(np.float64)
    line = top + share * (brow - top) * generator.uniform(0.6, 1.0)
    if generator.random() < 0.6:  # a straight or bent rim
        x = line[:, 0] - line[2, 0]
        line[:, 1] = line[2, 1] + x * (line[4, 1] - line[0, 1]) / max(line[4, 0] - line[0, 0], 1.0)
        line[:, 1] += generator.uniform(-0.25, 0.35) * scene.unit * np.square(x / max(abs(x).max(), 1.0))
    reach = generator.uniform(0.1, 0.6) * scene.unit
    left, right = (
        line[0] + [-reach, generator.uniform(-0.1, 0.3) * scene.unit],
        line[4] + [reach, generator.uniform(-0.1, 0.3) * scene.unit],
    )
    line = smooth_curve(np.concatenate([[left], line, [right]]), closed=False)
    dome = np.array([[right[0] + reach, -2], [left[0] - reach, -2]])
    if generator.random() < 0.25:  # a band
        dome = line[::-1] - [0, generator.uniform(0.2, 0.5) * scene.unit]
    polygon = np.concatenate([line, dome])
    hard = generator.random() < 0.4
    texture = surface(size, generator) if hard else scene.texture(generator) * folds(size, generator)[..., None]
    alpha = soft(fill(size, polygon), generator)
    layers = []
    if generator.random() < 0.3:  # straps
        color = scene.lit(surface(size, generator), generator)
        for outer, chin in ((127, 172), (356, 397)):
            band = smooth_curve(np.array([points[outer], points[chin], points[CHIN] + [0, 0.08 * scene.unit]]), closed=False)
            layers.append(Layer(OBJECT, color, stroke(size, band, generator.uniform(1.5, 6)), 0.3))
    rim = 1 + generator.uniform(-0.5, 0.2) * stroke(size, line, generator.uniform(1, 6))
    return [*layers, Layer(OBJECT if hard else CLOTH, scene.lit(texture * rim[..., None], generator), alpha, generator.uniform(0.1, 0.7))]


def glasses(scene: Scene, generator: np.random.Generator, *, dark: bool = False) -> list[Layer]:
    """Spectacles, or with ``dark`` sunglasses, placed in 3D before the eyes, with temples to the ears."""
    points, size, unit = scene.points.astype(np.float64), scene.size, scene.unit
    _, pose = normalize_pose(scene.points)
    right, down, away = (axis / max(float(np.linalg.norm(axis)), 1e-9) for axis in pose.rotation)
    eyes = [points[list(RIGHT_EYE_CORNERS)].mean(axis=0), points[list(LEFT_EYE_CORNERS)].mean(axis=0)]
    low = generator.uniform(-0.02, 0.12) * unit
    if generator.random() < 0.1:
        low += generator.uniform(0.1, 0.3) * unit  # slid down the nose
    wide, tall = generator.uniform(0.24, 0.36) * unit, generator.uniform(0.15, 0.33) * unit
    power = generator.choice([2.0, 2.5, 4.0, 7.0])
    width = generator.uniform(0.4, 2.2) if generator.random() < 0.55 else generator.uniform(2.0, 0.075 * unit)
    taper, front = generator.uniform(0, 0.35), generator.uniform(0.04, 0.16) * unit
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    across, along = np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)
    frame = np.zeros((size, size), np.float32)
    lenses = np.zeros((size, size), np.float32)
    hinges = []
    for number, eye in enumerate(eyes):
        side = -1 if number == 0 else 1
        middle = eye + right * side * generator.uniform(-0.01, 0.05) * unit + down * low - away * front
        narrow = 1 - taper * np.clip(along, 0, 1) * (0.5 + 0.5 * side * -across)  # aviators are cut towards the nose
        rim = middle + np.outer(across * wide * narrow, right) + np.outer(along * tall, down)
        lenses = np.maximum(lenses, fill(size, rim[:, :2]))
        if generator.random() < 0.92:
            frame = np.maximum(frame, stroke(size, rim[:, :2], width, closed=True))
        if generator.random() < 0.3:  # browline
            frame = np.maximum(frame, stroke(size, rim[along < -0.1][:, :2], width * generator.uniform(1, 2.5)))
        hinges.append(middle + right * side * wide - down * tall * generator.uniform(0.1, 0.7))
        inner = middle - right * side * wide - down * tall * generator.uniform(0.0, 0.5)
        hinges.append(inner)
    bridge = np.array([hinges[1], (hinges[1] + hinges[3]) / 2 - down * generator.uniform(0, 0.06) * unit, hinges[3]])
    frame = np.maximum(frame, stroke(size, smooth_curve(bridge[:, :2], closed=False), width))
    back = generator.uniform(0.9, 1.3) * unit
    for hinge, side, ear in ((hinges[0], -1, 127), (hinges[2], 1, 356)):
        start = hinge + right * side * 0.02 * unit
        outward = points[ear] + right * side * generator.uniform(0.0, 0.08) * unit
        end = np.array([*(outward[:2] + away[:2] * back * 0.3), start[2] + back])
        hidden = away[0] * side < -0.25  # behind the cheek of a turned head
        if not hidden:
            end[:2] = end[:2] * 0.6 + (start + away * back)[:2] * 0.4
            end[1] = start[1] + (end[1] - start[1]) * 0.4
            frame = np.maximum(frame, stroke(size, np.array([start[:2], end[:2]]), width * generator.uniform(0.8, 1.6)))
    color = (
        plain_color(generator) if generator.random() < 0.35 else np.full(3, generator.choice([15.0, 30.0, 60.0, 150.0, 200.0]), np.float32)
    )
    paint = np.broadcast_to(color, (size, size, 3)) + 40 * smooth_noise(size, 12, generator)[..., None] * generator.uniform(0, 1)
    painted = scene.lit(paint.astype(np.float32), generator)
    layers = []
    if dark:
        tint = plain_color(generator) * generator.uniform(0.05, 0.45)
        ramp = np.linspace(1, generator.uniform(1, 2.5), size, dtype=np.float32)[:, None, None]
        lens = np.broadcast_to(tint, (size, size, 3)) * ramp
        if generator.random() < 0.5:  # what is mirrored in them
            lens = lens + generator.uniform(10, 90) * np.clip(smooth_noise(size, generator.uniform(10, 50), generator), 0, 3)[..., None]
        layers.append(Layer(SUNGLASSES, np.clip(lens, 0, 255).astype(np.float32), lenses * generator.uniform(0.93, 1.0), 0.2))
        return [*layers, Layer(SUNGLASSES, painted, frame, 0.2)]
    shine = np.full((size, size, 3), generator.uniform(180, 255), np.float32)
    veil = lenses * generator.uniform(0, 0.18)
    if generator.random() < 0.35:  # a window mirrored in the lens
        glare = np.clip(smooth_noise(size, generator.uniform(8, 25), generator) - generator.uniform(0.5, 1.5), 0, 1)
        veil = np.maximum(veil, lenses * glare * generator.uniform(0.3, 0.9))
    if generator.random() < 0.15:  # photochromic or tinted, the eyes still visible
        shine, veil = np.broadcast_to(plain_color(generator) * 0.4, shine.shape).astype(np.float32), lenses * generator.uniform(0.1, 0.5)
    layers.append(Layer(0, shine, veil, translucent=True))
    return [*layers, Layer(GLASSES, painted, frame, generator.uniform(0, 0.5))]


def hair(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A fringe, strands over the forehead, or hair that falls over a side of the face."""
    points, size, unit = scene.points[:, :2].astype(np.float64), scene.size, scene.unit
    base = hair_color(generator)
    drawn, kind = np.zeros((size, size), np.uint8), generator.random()
    color = np.broadcast_to(base, (size, size, 3)).astype(np.float32).copy()
    if kind < 0.6:  # a fringe
        start, depth = points[[54, 103, 67, 109, 10, 338, 297, 332, 284]], generator.uniform(0.15, 0.95) * unit * 0.55
        lean = generator.normal(0, 0.35)
    else:
        left = generator.random() < 0.5
        chain = [109, 67, 103, 54, 21, 162, 127, 234, 93, 132] if left else [338, 297, 332, 284, 251, 389, 356, 454, 323, 361]
        start, depth = points[chain] + generator.uniform(-0.05, 0.25) * (points[4] - points[chain]), generator.uniform(0.3, 1.2) * unit
        lean = generator.normal(0, 0.1)
    count = int(generator.integers(8, 30)) if generator.random() < 0.35 else int(generator.integers(60, 160))
    places = generator.uniform(0, len(start) - 1.001, count)
    for place in places:
        first = int(place)
        root = start[first] + (place - first) * (start[first + 1] - start[first]) + generator.normal(0, 0.03 * unit, 2)
        root[1] -= generator.uniform(0.05, 0.5) * unit if kind < 0.6 else 0
        length = depth * generator.uniform(0.6, 1.1) + (0.3 * unit if kind < 0.6 else 0)
        tilt = lean + generator.normal(0, 0.15)
        tip = root + length * np.array([np.sin(tilt), np.cos(tilt)])
        belly = (root + tip) / 2 + generator.normal(0, 0.08 * unit, 2)
        line = smooth_curve(np.array([root, belly, tip]), closed=False, rounds=3)
        width, shade = generator.uniform(0.5, 0.03 * unit + 1), np.exp(generator.normal(0, 0.25))
        corners = np.round((line - 0.5) * (1 << BINARY_PLACES)).astype(np.int32)
        cv2.polylines(color, [corners], False, (base * shade).tolist(), max(1, round(width)), cv2.LINE_8, BINARY_PLACES)
        cv2.polylines(drawn, [corners], False, min(width, 1.0) * 255, max(1, round(width)), cv2.LINE_AA, BINARY_PLACES)
    amount = drawn.astype(np.float32) / 255
    if generator.random() < 0.5:
        amount = np.clip(cv2.GaussianBlur(amount, (0, 0), 1.0) * 1.5, 0, 1)
    return [Layer(HAIR, scene.lit(color, generator), amount, generator.uniform(0.1, 0.5))]
