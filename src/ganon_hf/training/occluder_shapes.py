"""What may lie in front of a face, drawn over the mesh of one: masks, scarves, hats, spectacles, hands, hair, objects.

Every function takes the landmarks of a face, (478, 3) pixels of a square picture, and returns layers from back to front. Nothing here is
meant to be pretty: edges, places, sizes, folds and light must vary at least as much as they do in photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.face_mesh import CHIN, FACE_OVAL, LEFT_EYE_CORNERS, LEFT_EYE_OUTER, RIGHT_EYE_CORNERS, RIGHT_EYE_OUTER
from ..core.geometry import normalize_pose
from ..core.occluders import CLOTH, GLASSES, HAIR, HAND, OBJECT, SUNGLASSES
from ..core.opencv import cv2
from .occluder_textures import cloth, folds, hair_color, photo_patch, plain_color, pleats, smooth_noise, surface

_BITS = 4  # binary places of coordinates
_BRIDGE = (168, 6, 197, 195, 5, 4, 1, 2)  # points of the nose from between the eyes to below the tip
_MOUTH, _NOSE = (13, 14, 61, 291), 4


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing in front of a face.

    Attributes:
        kind: its class, see ``core/occluders.py``; 0 for what is part of a face, such as paint.
        color: (S, S, 3) float32 0..255, lit.
        alpha: (S, S) float32 0..1.
        shadow: how dark its shadow on the face is, 0 to 1.
        translucent: it shows what is behind it and does not change the class.
    """

    kind: int
    color: np.ndarray
    alpha: np.ndarray
    shadow: float = 0.0
    translucent: bool = False


@dataclass(frozen=True, eq=False)
class Scene:
    """A face that something is laid over.

    Attributes:
        points: (478, 3) pixels.
        light: (S, S) float32 gain of the light on the face, about 1.
        level: luma of its skin, 0..255.
        skin: (3,) median color of its cheeks.
        pictures: (n, S, S, 3) uint8 of other faces, whose surroundings serve as textures.
    """

    points: np.ndarray
    light: np.ndarray
    level: float
    skin: np.ndarray
    pictures: np.ndarray

    @property
    def size(self) -> int:
        return len(self.light)

    @property
    def unit(self) -> float:
        """Distance of the outer corners of the eyes seen from the front, in pixels."""
        p = self.points
        return float(np.linalg.norm(p[LEFT_EYE_OUTER] - p[RIGHT_EYE_OUTER]))

    def lit(self, texture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A texture in about the light of the face."""
        light = self.light ** generator.uniform(0.3, 1.0)
        exposure = (self.level / 140) ** generator.uniform(0.4, 1.0) * np.exp(generator.normal(0, 0.2))
        return np.clip(texture * (light * np.float32(exposure))[..., None], 0, 255).astype(np.float32)

    def texture(self, generator: np.random.Generator) -> np.ndarray:
        """Cloth, drawn or from somebody's clothes."""
        if generator.random() < 0.3:
            return photo_patch(self.pictures, self.size, generator)
        return cloth(self.size, generator)


def smooth_curve(points: np.ndarray, *, closed: bool = True, rounds: int = 2) -> np.ndarray:
    """Polygon or line with its corners cut off (Chaikin 1974)."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1)
        points = cut.reshape(-1, 2) if closed else np.concatenate([points[:1], cut[:-1].reshape(-1, 2), points[-1:]])
    return points


def fill(size: int, polygon: np.ndarray) -> np.ndarray:
    """(size, size) float32 coverage of a polygon (n, 2)."""
    canvas = np.zeros((size, size), np.uint8)
    corners = np.round((polygon - 0.5) * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, _BITS)
    return canvas.astype(np.float32) / 255


def stroke(size: int, line: np.ndarray, width: float, *, closed: bool = False) -> np.ndarray:
    """(size, size) float32 coverage of a line (n, 2); lines thinner than a pixel are fainter."""
    canvas = np.zeros((size, size), np.uint8)
    corners = np.round((line - 0.5) * (1 << _BITS)).astype(np.int32)
    cv2.polylines(canvas, [corners], closed, 255, max(1, round(width)), cv2.LINE_AA, _BITS)
    return canvas.astype(np.float32) * (min(width, 1.0) / 255)


def soft(alpha: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The edge a little out of focus."""
    return cv2.GaussianBlur(alpha, (0, 0), generator.uniform(0.3, 1.2))


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
    top, bottom = float(outline[:, 1].min()), float(outline[:, 1].max())
    if generator.random() < 0.5:
        texture = texture * pleats(size, top, bottom, generator.uniform(-6, 6), generator)[..., None]
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


def hand(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A hand with some of its fingers before the face, and the arm that it belongs to."""
    points, size, unit = scene.points[:, :2], scene.size, scene.unit
    goal = points[int(generator.choice([13, 4, 50, 280, 205, 425, 159, 386, 152, 199, 9, 151, 172, 397]))] + generator.normal(
        0, 0.12 * unit, 2
    )
    # the arm comes from below or from a side
    angle = generator.uniform(-0.3, np.pi + 0.3) if generator.random() < 0.85 else generator.uniform(0, 2 * np.pi)
    arm = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-arm[1], arm[0]])
    reach = generator.uniform(0.45, 0.8) * unit
    thick = generator.uniform(0.085, 0.125) * unit
    base = scene.skin * np.exp(generator.normal(0, 0.12)) + generator.normal(0, 5, 3)
    if generator.random() < 0.12:
        base = plain_color(generator)  # gloves
    palm = goal + arm * reach
    bend = generator.normal(0, 0.35)
    height = np.full((size, size), -1e3, np.float32)  # of the surface, in pixels
    gain = np.ones((size, size), np.float32)
    parts = []
    fingers = int(generator.integers(1, 5)) if generator.random() < 0.4 else 4
    spread = generator.uniform(0.0, 0.35)
    for number in range(fingers):
        offset = (number - (fingers - 1) / 2) * thick * generator.uniform(1.75, 2.05)
        lean = (number - (fingers - 1) / 2) * spread + bend
        direction = -arm * np.cos(lean) + across * np.sin(lean)
        root = palm + across * offset - arm * 0.15 * unit
        length = reach * generator.uniform(0.75, 1.15)
        knuckle = root + direction * length * 0.5
        curl = generator.normal(0, 0.25)
        onward = direction * np.cos(curl) + np.array([-direction[1], direction[0]]) * np.sin(curl)
        parts += [(root, knuckle, thick * 1.05, thick), (knuckle, knuckle + onward * length * 0.5, thick, thick * 0.82)]
    if generator.random() < 0.5:
        side = generator.choice([-1, 1])
        thumb = palm + across * side * thick * 3.2
        parts.append(
            (
                palm + across * side * thick * 2 + arm * 0.2 * unit,
                thumb - arm * generator.uniform(0.1, 0.5) * unit,
                thick * 1.2,
                thick * 0.95,
            )
        )
    parts.append((palm - arm * 0.1 * unit, palm + arm * 0.25 * unit, thick * 3.3, thick * 3.0))
    parts.append((palm + arm * 0.25 * unit, palm + arm * 3 * unit, thick * 2.2, thick * 2.8))
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + 0.5
    light = generator.uniform(-0.5, 0.5)
    for first, last, wide, end in parts:
        line = last - first
        share = np.clip(((columns - first[0]) * line[0] + (rows - first[1]) * line[1]) / max(float(line @ line), 1e-6), 0, 1)
        dx, dy = columns - first[0] - share * line[0], rows - first[1] - share * line[1]
        radius = wide + share * (end - wide)
        squared = 1 - (dx * dx + dy * dy) / np.square(radius)
        surface_height = np.sqrt(np.clip(squared, 0, None)) * min(float(radius.max()), 1.4 * thick) + np.where(squared > 0, 0, -1e3)
        shade = 0.6 + 0.4 * np.sqrt(np.clip(squared, 0, 1)) + light * (dx - dy) / np.maximum(radius, 1) * 0.25
        upper = surface_height > height
        gain[upper], height[upper] = shade[upper], surface_height[upper]
    alpha = soft((height > 0).astype(np.float32), generator)
    texture = np.broadcast_to(base.astype(np.float32), (size, size, 3)) * gain[..., None]
    texture = texture * (1 + 0.04 * smooth_noise(size, 3, generator) + 0.06 * smooth_noise(size, 10, generator))[..., None]
    for first, last, wide, _ in parts[: 2 * fingers][1::2]:  # nails and creases
        if generator.random() < 0.6:
            direction = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
            nail = fill(
                size,
                smooth_curve(
                    last
                    + np.array([[-0.5, -0.6], [-0.5, 0.6], [0.5, 0.5], [0.5, -0.5]])
                    @ np.array([direction, [-direction[1], direction[0]]])
                    * wide
                ),
            )
            color = base * 1.1 + 15 if generator.random() < 0.6 else plain_color(generator)
            texture = texture + (color - texture) * (0.7 * nail)[..., None]
        crease = (
            first + np.outer([-1, 1], [-(last - first)[1], (last - first)[0]]) / max(float(np.linalg.norm(last - first)), 1e-6) * wide * 0.8
        )
        texture = texture * (1 - 0.25 * stroke(size, crease, 1.0))[..., None]
    color = np.clip(texture.astype(np.float32) * (scene.light ** generator.uniform(0, 0.6))[..., None], 0, 255)
    layers = [Layer(HAND, color.astype(np.float32), alpha, generator.uniform(0.2, 0.7))]
    if generator.random() < 0.4:  # a sleeve
        cuff = palm + arm * generator.uniform(0.5, 1.2) * unit
        polygon = np.array(
            [
                cuff - across * thick * 3.5,
                cuff + across * thick * 3.5,
                cuff + arm * 3 * unit + across * thick * 4.5,
                cuff + arm * 3 * unit - across * thick * 4.5,
            ]
        )
        layers.append(
            Layer(
                CLOTH,
                scene.lit(scene.texture(generator) * folds(size, generator)[..., None], generator),
                soft(fill(size, polygon), generator),
                0.4,
            )
        )
    return layers


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
        corners = np.round((line - 0.5) * (1 << _BITS)).astype(np.int32)
        cv2.polylines(color, [corners], False, (base * shade).tolist(), max(1, round(width)), cv2.LINE_8, _BITS)
        cv2.polylines(drawn, [corners], False, min(width, 1.0) * 255, max(1, round(width)), cv2.LINE_AA, _BITS)
    amount = drawn.astype(np.float32) / 255
    if generator.random() < 0.5:
        amount = np.clip(cv2.GaussianBlur(amount, (0, 0), 1.0) * 1.5, 0, 1)
    return [Layer(HAIR, scene.lit(color, generator), amount, generator.uniform(0.1, 0.5))]


def thing(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A microphone, a cup, a phone, or something of any shape and surface."""
    points, size, unit = scene.points[:, :2].astype(np.float64), scene.size, scene.unit
    goal = points[int(generator.choice([13, 17, 199, 4, 50, 280, 152, 159, 386]))] + generator.normal(0, 0.15 * unit, 2)
    angle, kind = generator.uniform(0.2, np.pi - 0.2), generator.random()
    arm = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-arm[1], arm[0]])
    texture = photo_patch(scene.pictures, size, generator) if generator.random() < 0.3 else surface(size, generator)
    if kind < 0.3:  # microphone
        radius = generator.uniform(0.1, 0.22) * unit
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        head = goal + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        handle = np.array(
            [
                goal + across * radius * 0.8,
                goal - across * radius * 0.8,
                goal + arm * 3 * unit - across * radius * 0.5,
                goal + arm * 3 * unit + across * radius * 0.5,
            ]
        )
        alpha = np.maximum(fill(size, head), fill(size, handle))
        texture = texture * (1 + generator.uniform(0, 0.3) * smooth_noise(size, 1.5, generator))[..., None] * generator.uniform(0.1, 1)
    elif kind < 0.65:  # cup, phone, book
        wide, tall = generator.uniform(0.15, 0.5, 2) * unit
        taper = generator.uniform(0.6, 1.0)
        box = np.array([[-wide, -tall], [wide, -tall], [wide * taper, tall * 1.5], [-wide * taper, tall * 1.5]])
        turned = goal + box @ np.stack([across, arm])
        alpha = fill(size, smooth_curve(turned, rounds=1) if generator.random() < 0.5 else turned)
    else:
        count = int(generator.integers(4, 12))
        turn = np.sort(generator.uniform(0, 2 * np.pi, count))
        radius = generator.uniform(0.12, 0.5) * unit * generator.uniform(0.5, 1.3, count)
        shape = goal + np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius[:, None]
        alpha = fill(size, smooth_curve(shape) if generator.random() < 0.6 else shape)
    layers = [Layer(OBJECT, scene.lit(texture, generator), soft(alpha, generator), generator.uniform(0, 0.5))]
    return layers if generator.random() < 0.7 else [*layers, *hand(scene, generator)]
