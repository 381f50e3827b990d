"""Faces with something in front of them, made from faces without: picture, hulls, and the class of each pixel.

Also made: what must never be taken for something in front, such as paint, colored light, make-up and hard shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._atomic import atomic_file
from ..core.color import luma_of
from ..core.face_mesh import FACE_OVAL, MEAN_LANDMARKS
from ..core.landmarks import mesh_mask
from ..core.occluders import HAIR, HULL_CHANNELS, MAP_SIZE, NONE, draw_hulls
from ..core.opencv import cv2
from .occluder_objects import hand, thing
from .occluder_scene import Layer, Scene, fill, smooth_curve, stroke
from .occluder_shapes import glasses, hair, hat, mask, scarf
from .occluder_textures import plain_color, smooth_noise

# Side of the stored pictures in pixels: the aligned crop of MAP_SIZE in their middle, and margin for moving and turning.
STORED_SIZE = MAP_SIZE * 3 // 2
# Labels beside the classes: not looked at by the loss; anything that is not spectacles.
IGNORED, NO_GLASSES = 255, 254
_FEATURES = (33, 133, 362, 263, 4, 13)
_KINDS = (mask, scarf, hat, glasses, hand, hair, thing)
_CHANCES = np.array([0.22, 0.05, 0.11, 0.17, 0.2, 0.11, 0.14])
_CHEEKS, _BROWS = (50, 101, 118, 280, 330, 347, 205, 425), ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))


@dataclass(frozen=True, eq=False)
class BareFaces:
    """Faces with nothing in front of them but hair.

    Attributes:
        pictures: (n, 192, 192, 3) uint8 RGB.
        landmarks: (n, 478, 3) float32 pixels of the pictures.

    Raises:
        ValueError: the shapes do not fit together, or there is no face.
    """

    pictures: np.ndarray
    landmarks: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.pictures)
        if not count:
            raise ValueError("there is no face to lay things over.")
        if self.pictures.shape != (count, STORED_SIZE, STORED_SIZE, 3) or self.landmarks.shape != (count, *MEAN_LANDMARKS.shape):
            raise ValueError(
                f"pictures must have the shape (n, {STORED_SIZE}, {STORED_SIZE}, 3) and landmarks (n, 478, 3), "
                f"but got {self.pictures.shape} and {self.landmarks.shape}."
            )

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, eq=False)
class Samples:
    """What the network for the occluder map is trained with.

    Attributes:
        pictures: (n, 128, 128, 3) uint8 RGB.
        hulls: (n, 128, 128, 4) uint8, see :func:`.core.occluders.draw_hulls`.
        labels: (n, 128, 128) uint8, classes of ``core/occluders.py``, or :data:`IGNORED`, or :data:`NO_GLASSES`.
    """

    pictures: np.ndarray
    hulls: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` file."""
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, pictures=self.pictures, hulls=np.packbits(self.hulls > 0, axis=-1), labels=self.labels)

    @classmethod
    def concatenate(cls, parts: Sequence[Samples]) -> Samples:
        """Several as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("pictures", "hulls", "labels")))

    @classmethod
    def load(cls, path: str | Path) -> Samples:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            hulls = np.unpackbits(file["hulls"], axis=-1, count=HULL_CHANNELS) * np.uint8(255)
            return cls(file["pictures"], hulls, file["labels"])


def bare_labels(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) uint8 labels of a bare face: NONE on the mesh, HAIR where hair hangs over its border, the doubtful ignored.

    Hair is darker or otherwise colored than the cheeks, lies above the brows or beside the eyes, and is connected to the border.
    """
    size = len(picture)
    labels = np.full((size, size), NO_GLASSES, np.uint8)
    mesh = mesh_mask(points, size)
    labels[mesh] = NONE
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.float32)
    around = [smooth[tuple(np.clip(points[point, 1::-1].astype(int), 0, size - 1))] for point in _CHEEKS]
    skin = np.median(around, axis=0)
    level, ours = float(luma_of(skin[None, None].astype(np.float32))[0, 0]), luma_of(smooth)
    tint = np.abs((smooth - ours[..., None]) - (skin - level)).max(axis=-1)
    darker = ours / max(level, 1.0)
    brow = np.full((size, size), True)
    lift = points[FACE_OVAL[0], :2] - points[9, :2]
    for chain in _BROWS:
        brow &= fill(size, np.concatenate([points[list(chain), :2] - 0.1 * lift, points[list(chain), :2] + 0.18 * lift][::1])) < 0.01
    upper = fill(size, np.concatenate([points[FACE_OVAL[-7:], :2], points[FACE_OVAL[:8], :2], points[[300, 334, 9, 105, 70], :2]])) > 0.5
    zone = mesh & upper & brow
    for share, label in ((0.8, IGNORED), (0.58, HAIR)):
        other = zone & ((darker < share) | (tint > (22 if label == IGNORED else 60)))
        outside = cv2.dilate((~mesh & (cv2.blur(mesh.astype(np.float32), (9, 9)) > 0)).view(np.uint8), np.ones((3, 3), np.uint8))
        _, parts = cv2.connectedComponents((other | (outside > 0)).astype(np.uint8))
        touching = np.unique(parts[(outside > 0)])
        labels[other & np.isin(parts, touching[touching > 0])] = label
    labels[cv2.dilate((labels == HAIR).view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & (labels == NONE)] = IGNORED
    return labels


def make_scene(faces: BareFaces, number: int) -> Scene:
    """What the shapes need to know of a face."""
    picture, points = faces.pictures[number], faces.landmarks[number]
    luma, mesh = luma_of(picture.astype(np.float32)), mesh_mask(points, STORED_SIZE).astype(np.float32)
    level = float(np.median(luma[mesh > 0])) if mesh.any() else float(luma.mean())
    small = cv2.resize(cv2.merge([luma * mesh, mesh]), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    near, far = (cv2.GaussianBlur(small, (0, 0), sigma) for sigma in (3.5, 15))
    weight = np.minimum(near[..., 1] * 4, 1)
    light = weight * near[..., 0] / np.maximum(near[..., 1], 1e-3) + (1 - weight) * far[..., 0] / np.maximum(far[..., 1], 1e-3)
    light = cv2.resize(np.clip(light / max(level, 1.0), 0.3, 2.0), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
    places = [tuple(np.clip(points[point, 1::-1].astype(int), 0, STORED_SIZE - 1)) for point in _CHEEKS]
    skin = np.median([picture[place] for place in places], axis=0)
    return Scene(points, light.astype(np.float32), level, skin.astype(np.float32), faces.pictures)


def draw_layers(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """What lies in front of one face: mostly one thing, sometimes several or nothing, sometimes what must not count."""
    layers: list[Layer] = []
    if generator.random() < 0.3:
        layers += paint(scene, generator)
    count = int(generator.choice([0, 1, 2, 3], p=[0.12, 0.6, 0.22, 0.06]))
    chosen = sorted(generator.choice(len(_KINDS), count, replace=False, p=_CHANCES).tolist())
    for kind in chosen:
        draw = _KINDS[kind]
        layers += glasses(scene, generator, dark=generator.random() < 0.35) if draw is glasses else draw(scene, generator)
    return layers


def paint(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """What is part of a face, whatever its color: face paint, tattoos, make-up, colored light, hard shadows."""
    size, points, unit = scene.size, scene.points[:, :2].astype(np.float64), scene.unit
    black = np.zeros((size, size, 3), np.float32)
    color = np.broadcast_to(plain_color(generator), (size, size, 3)).astype(np.float32)
    kind = generator.random()
    layers = []
    if kind < 0.35:  # fields of paint or light, smooth or with edges
        for _ in range(int(generator.integers(1, 4))):
            field = smooth_noise(size, generator.uniform(15, 80), generator)
            where = np.clip(field * generator.choice([1.0, 30.0]), 0, 1) if generator.random() < 0.8 else np.ones((size, size), np.float32)
            color = np.broadcast_to(plain_color(generator), (size, size, 3)).astype(np.float32)
            layers.append(Layer(NONE, color, where * generator.uniform(0.1, 0.7), translucent=True))
    elif kind < 0.5:  # stripes and flags on cheeks or forehead
        for _ in range(int(generator.integers(1, 5))):
            middle = points[int(generator.choice([50, 280, 9, 151, 205, 425, 4]))] + generator.normal(0, 0.1 * unit, 2)
            half = generator.normal(0, 0.25 * unit, 2)
            line = stroke(size, np.array([middle - half, middle + half]), generator.uniform(1, 0.12 * unit))
            layers.append(Layer(NONE, color, line * generator.uniform(0.3, 0.85), translucent=True))
    elif kind < 0.65:  # tattoos
        for _ in range(int(generator.integers(1, 8))):
            middle = points[int(generator.choice([50, 280, 9, 151, 205, 425, 199, 234, 454]))]
            line = smooth_curve(middle + generator.normal(0, 0.15 * unit, (5, 2)), closed=False)
            layers.append(
                Layer(NONE, black + 30, stroke(size, line, generator.uniform(0.7, 2.5)) * generator.uniform(0.3, 0.8), translucent=True)
            )
    elif kind < 0.8:  # lips and lids
        red = np.broadcast_to(generator.uniform([90, 0, 10], [230, 80, 120]).astype(np.float32), (size, size, 3))
        lips = fill(size, points[[61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]])
        layers.append(Layer(NONE, red.copy(), lips * generator.uniform(0.3, 0.9), translucent=True))
        for lid in ((33, 160, 158, 133, 107, 105, 70), (263, 387, 385, 362, 336, 334, 300)):
            where = cv2.GaussianBlur(fill(size, points[list(lid)]), (0, 0), 2)
            layers.append(Layer(NONE, color, where * generator.uniform(0, 0.7), translucent=True))
    else:  # a hard shadow, or the sun on a part
        angle, place = generator.uniform(0, 2 * np.pi), points[4] + generator.normal(0, 0.4 * unit, 2)
        rows, columns = np.mgrid[:size, :size].astype(np.float32)
        side = (columns - place[0]) * np.cos(angle) + (rows - place[1]) * np.sin(angle) + 6 * smooth_noise(size, 25, generator)
        where = cv2.GaussianBlur((side > 0).astype(np.float32), (0, 0), generator.uniform(0.5, 6))
        dark = generator.random() < 0.75
        layers.append(Layer(NONE, black if dark else black + 255, where * generator.uniform(0.2, 0.75 if dark else 0.5), translucent=True))
    return layers


def compose(picture: np.ndarray, labels: np.ndarray, layers: list[Layer], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay layers over a picture: (S, S, 3) float32, and the labels with theirs."""
    image, labels = picture.astype(np.float32), labels.copy()
    for layer in layers:
        if layer.shadow > 0:
            shift = generator.normal(0, 3, 2) + [0, 2]
            moved = cv2.warpAffine(layer.alpha, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32), layer.alpha.shape[::-1])
            image *= 1 - layer.shadow * cv2.GaussianBlur(moved, (0, 0), generator.uniform(1, 5))[..., None]
        image += (layer.color - image) * layer.alpha[..., None]
        if not layer.translucent:
            labels[layer.alpha > 0.2] = np.where(layer.alpha > 0.45, layer.kind, IGNORED)[layer.alpha > 0.2]
    return image, labels


def degrade(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As another camera might have seen it: exposure, white balance, gray, few pixels, blur, noise, compression. (S, S, 3) uint8."""
    uniform = generator.uniform
    size = len(image)
    image = 255 * np.clip(image / 255, 0, 1) ** np.exp(generator.normal(0, 0.2)) * np.exp(generator.normal(0, 0.15))
    balance = np.exp(generator.normal(0, 0.08 if uniform() < 0.8 else 0.3, 3))
    image = image * balance.astype(np.float32)
    if uniform() < 0.22:
        image = np.repeat(luma_of(image.astype(np.float32))[..., None], 3, axis=2)
        if uniform() < 0.3:  # toned
            image = image * uniform([0.9, 0.85, 0.6], [1.1, 1.0, 1.0])
    image = image.astype(np.float32)
    if uniform() < 0.45:
        side = round(np.exp(uniform(np.log(22), np.log(size))))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        if uniform() < 0.5:
            small += generator.normal(0, uniform(0, 6), small.shape).astype(np.float32)
        image = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC if uniform() < 0.5 else cv2.INTER_LINEAR)
    if uniform() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), uniform(0.3, 2.0))
    if uniform() < 0.06:  # moved
        kernel = stroke(15, np.array([[7.5, 7.5], [7.5, 7.5]]) + np.outer([-1, 1], generator.normal(0, 4, 2)), 1) + 1e-6
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if uniform() < 0.6:
        image = image + generator.normal(0, uniform(0.5, 7), image.shape).astype(np.float32)
    values = np.clip(image, 0, 255).astype(np.uint8)
    if uniform() < 0.4:
        values = cv2.imdecode(cv2.imencode(".jpg", values, [cv2.IMWRITE_JPEG_QUALITY, int(uniform(30, 92))])[1], cv2.IMREAD_COLOR)
    return values


def make_samples(faces: BareFaces, number: int, count: int, generator: np.random.Generator) -> Samples:
    """One face ``count`` times, each with other things in front of it."""
    scene = make_scene(faces, number)
    labels = bare_labels(faces.pictures[number], faces.landmarks[number])
    made = [_make_sample(faces.pictures[number], labels, scene, generator) for _ in range(count)]
    return Samples(*(np.stack(values) for values in zip(*made, strict=True)))


def _make_sample(
    picture: np.ndarray, labels: np.ndarray, scene: Scene, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = scene.points.astype(np.float64)
    image, labels = compose(picture, labels, draw_layers(scene, generator), generator)
    angle, scale = np.radians(generator.normal(0, 5)), np.exp(generator.normal(0, 0.06))
    turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned[:, 0] *= -1 if generator.random() < 0.5 else 1
    shift = MAP_SIZE / 2 - turned @ np.full(2, STORED_SIZE / 2) + generator.normal(0, 4, 2)
    matrix = np.hstack([turned, (shift + turned @ np.array([0.5, 0.5]) - 0.5)[:, None]])
    size = (MAP_SIZE, MAP_SIZE)
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    labels = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORED)
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ turned.T + shift
    # landmarks of covered faces are guesses
    moved[:, :2] += generator.normal(0, 1.2, 2) + (moved[:, :2] - MAP_SIZE / 2) * generator.normal(0, 0.02, 2)
    return degrade(image, generator), draw_hulls(moved, MAP_SIZE), labels
