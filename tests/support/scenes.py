"""Scenes with known faces: heads pasted into photos without people, at known places, heights and tilts.

Arrays are RGB uint8 (height, width, 3); boxes are (x_min, y_min, x_max, y_max) in pixels of the scene, the smallest box around the 478
mesh points of the source portrait, carried along by the paste (so the height of a face is eyebrow-hairline to chin, without hair).

Heads come from the data folder beside the project (``../shared/faces``) when it is there, otherwise from scikit-image's astronaut.
The truth is a mesh fitted to the full-size portrait, so portraits that no mesh fits are left out: the heads are then fewer.
"""

from __future__ import annotations

import functools
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data as skimage_data

from ganon_hf.core.detection_files import LANDMARKS_FILE, read_network
from ganon_hf.core.detection_mesh import LandmarkNetwork, Square
from ganon_hf.core.detection_pyramid import Levels
from ganon_hf.core.faces import box_of_points

FACES = Path(__file__).resolve().parents[3] / "shared" / "faces"
HEIGHTS = (24, 32, 48, 96, 192, 400)
# Squares in which the face of a portrait is looked for, in this order: center and side as shares of the picture; and logits of presence
# from which on it is a face, and from which on no other square is tried.
FACE_PLACES = ((0.5, 0.5, 0.6), (0.5, 0.5, 1.0), (0.5, 0.35, 0.5), (0.5, 0.25, 0.35), (0.5, 0.17, 0.3))
SURE, CERTAIN = 5.0, 10.0


# The ellipse in which ``paste`` cuts a head out: half axes in widths and heights of the face, and how much higher than it lies, in heights.
CUT_OUT, CUT_OUT_ABOVE = (0.78, 0.85), 0.12
# Where the head is that hides a part of a face: on its right, on its left, below.
SIDES = RIGHT, LEFT, BELOW = (1, 0), (-1, 0), (0, 1)


@dataclass(frozen=True, eq=False)
class Head:
    """A portrait (RGB uint8) and the box around its mesh points."""

    image: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """One pasted face: box in the scene, nominal height in pixels, tilt in degrees (counter-clockwise)."""

    box: tuple[float, float, float, float]
    height: int
    tilt: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo (RGB uint8), the faces in it, and faces that only serve to hide a part of those."""

    image: np.ndarray
    faces: tuple[Truth, ...]
    in_front: tuple[Truth, ...] = ()


def _mesh_boxes(images: list[np.ndarray]) -> list[tuple[float, float, float, float] | None]:
    """Box of the 478 points per portrait, None where there is no face that is sure enough.

    No detector has a part in it, so the search for faces can be tested on it: the landmark network itself looks where portraits have their
    faces, until its square has settled. Against MediaPipe's own Face Mesh (0.10.21) on 102 portraits of eval-pairs: none lost, the overlap
    of the boxes 0.93 to 0.99, heights 1.4 % larger in the median.
    """
    network = LandmarkNetwork(read_network(LANDMARKS_FILE))
    boxes: list[tuple[float, float, float, float] | None] = []
    for image in images:
        height, width = image.shape[:2]
        levels, best = Levels(image), None
        for across, down, side in FACE_PLACES:
            mesh = network.fit(levels, Square((across * width, down * height), side * min(height, width), 0.0))
            for _ in range(2):
                mesh = network.fit(levels, Square.of_mesh(mesh.points))
            if best is None or mesh.presence > best.presence:
                best = mesh
            if best.presence > CERTAIN:
                break
        boxes.append(box_of_points(best.points) if best is not None and best.presence > SURE else None)
    return boxes


@functools.lru_cache(maxsize=8)
def load_heads(source: str = "eval-pairs", limit: int = 40) -> tuple[Head, ...]:
    """The first ``limit`` portraits of a file of the data folder, or the astronaut when the folder is absent."""
    paths = sorted(FACES.glob(f"{source}-*.parquet"))
    if paths:
        import pyarrow.parquet as parquet

        rows = parquet.read_table(paths[0], columns=["image"]).slice(0, limit).to_pylist()
        images = [np.array(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows]
    else:
        images = [np.ascontiguousarray(skimage_data.astronaut()[:360, 60:420])]
    return tuple(Head(image, box) for image, box in zip(images, _mesh_boxes(images), strict=True) if box is not None)


def _fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture scaled and center-cropped to fill (height, width)."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    scale = max(height / image.shape[0], width / image.shape[1])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    image = cv2.resize(np.ascontiguousarray(image[..., :3]), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def photo_backgrounds(height: int = 1080, width: int = 1920) -> dict[str, np.ndarray]:
    """Photos without faces that the test dependencies carry."""
    names = ("coffee", "rocket", "chelsea", "hubble_deep_field", "immunohistochemistry", "retina")
    names += ("brick", "grass", "gravel", "coins", "moon")
    images = {name: getattr(skimage_data, name)() for name in names}
    images["motorcycle"] = np.asarray(skimage_data.stereo_motorcycle()[0])
    images |= {name: getattr(skimage_data, name)() for name in ("page", "text", "colorwheel")}
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:  # an extra of the project, not needed for the scenes
        pass
    else:
        images |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    return {name: _fit(np.asarray(image, dtype=np.uint8), height, width) for name, image in images.items()}


def made_backgrounds(height: int = 1080, width: int = 1920, seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures without faces that no camera took: noise at several scales, gradients, discs, stripes."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:height, :width]
    images = {"gradient": np.stack([xx * 255 // width, yy * 255 // height, (xx + yy) * 255 // (width + height)], axis=2)}
    images["noise"] = rng.integers(0, 256, (height, width, 3))
    images["dark-noise"] = np.abs(rng.normal(0, 6, (height, width, 3)))
    for cell in (8, 24, 64):
        small = rng.integers(0, 256, (height // cell + 1, width // cell + 1, 3)).astype(np.uint8)
        images[f"blobs-{cell}"] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    images["stripes"] = np.repeat(((xx // 17 + yy // 29) % 2 * 200)[..., None], 3, axis=2)
    discs = np.full((height, width, 3), 210, np.uint8)
    for _ in range(120):  # skin-colored discs with two dots: what a careless detector takes for a face
        x, y, r = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(10, 90))
        cv2.circle(discs, (x, y), r, (224, 172, 140), -1)
        cv2.circle(discs, (x - r // 3, y - r // 4), max(1, r // 8), (40, 30, 30), -1)
        cv2.circle(discs, (x + r // 3, y - r // 4), max(1, r // 8), (40, 30, 30), -1)
    images["discs"] = discs
    return {name: image.astype(np.uint8) for name, image in images.items()}


def paste(
    canvas: np.ndarray, head: Head, *, center: tuple[float, float], height: float, tilt: float = 0.0, portrait: bool = False
) -> Truth:
    """Draw a head into ``canvas`` (changed in place): face center at ``center``, face ``height`` pixels, turned by ``tilt`` degrees.

    ``portrait`` keeps the portrait's own background in a rectangle; otherwise a soft ellipse around the head is cut out.
    """
    x_min, y_min, x_max, y_max = head.box
    face_x, face_y, face_width, face_height = (x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min
    scale = height / face_height
    image, shrink = head.image, 1.0
    if scale < 1:  # area averaging first: a warp alone would alias
        shrink = scale
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    mask = np.zeros(image.shape[:2], np.float32)
    if portrait:
        low = np.array([face_x - 1.1 * face_width, face_y - 1.0 * face_height]) * shrink
        high = np.array([face_x + 1.1 * face_width, face_y + 1.1 * face_height]) * shrink
        cv2.rectangle(mask, low.astype(int).tolist(), high.astype(int).tolist(), 1.0, -1)
    else:
        axes = (round(face_width * CUT_OUT[0] * shrink), round(face_height * CUT_OUT[1] * shrink))
        middle = (round(face_x * shrink), round((face_y - CUT_OUT_ABOVE * face_height) * shrink))
        cv2.ellipse(mask, middle, axes, 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.04 * face_height * shrink))
    angle, zoom = math.radians(tilt), scale / shrink
    linear = zoom * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = np.hstack([linear, np.array(center)[:, None] - linear @ np.array([[face_x], [face_y]]) * shrink])
    size = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    canvas[:] = np.round(canvas * (1 - alpha) + warped * alpha).astype(np.uint8)
    # The turned box would be too large; a face is about an ellipse, whose extent under rotation is exact.
    half_x = math.hypot(face_width * math.cos(angle), face_height * math.sin(angle)) * scale / 2
    half_y = math.hypot(face_width * math.sin(angle), face_height * math.cos(angle)) * scale / 2
    low, high = (max(0.0, center[0] - half_x), max(0.0, center[1] - half_y)), (center[0] + half_x, center[1] + half_y)
    box = (*low, min(high[0], canvas.shape[1]), min(high[1], canvas.shape[0]))  # what the frame shows of it
    return Truth(box, round(height), tilt)


def darken(image: np.ndarray, rng: np.random.Generator, *, gain: float = 0.12, noise: float = 2.0) -> np.ndarray:
    """The photo under-exposed: values times ``gain``, sensor noise, 8 bits."""
    return np.clip(np.round(image * gain + rng.normal(0, noise, image.shape)), 0, 255).astype(np.uint8)


def add_noise(image: np.ndarray, rng: np.random.Generator, *, sigma: float = 20.0) -> np.ndarray:
    return np.clip(np.round(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8)


def motion_blur(image: np.ndarray, length: int) -> np.ndarray:
    """The photo as of a camera that moves sideways by ``length`` pixels, an odd number."""
    return cv2.blur(image, (length, 1), borderType=cv2.BORDER_REPLICATE)


def scale_width(scene: Scene, factor: float) -> Scene:
    """The scene squeezed (``factor`` below 1) or stretched sideways."""
    rows, columns = scene.image.shape[:2]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(scene.image, (round(columns * factor), rows), interpolation=how)

    def scaled(face: Truth) -> Truth:
        x_min, y_min, x_max, y_max = face.box
        return replace(face, box=(x_min * factor, y_min, x_max * factor, y_max))

    return Scene(image, tuple(map(scaled, scene.faces)), tuple(map(scaled, scene.in_front)))


def hide(canvas: np.ndarray, face: Truth, head: Head, *, share: float, side: tuple[int, int]) -> tuple[Truth, Truth]:
    """Draw ``head`` before a face that is already in ``canvas``, on one of its sides, see :data:`SIDES`.

    Returns:
        The face with the box of what is still seen of it, and the head in front, which is as large.
    """
    x_min, y_min, x_max, y_max = face.box
    center, seen = ((x_min + x_max) / 2, (y_min + y_max) / 2), list(face.box)
    half_width = CUT_OUT[0] * (head.box[2] - head.box[0]) / (head.box[3] - head.box[1]) * face.height
    if side == BELOW:
        seen[3] = y_max - share * (y_max - y_min)
        center = (center[0], seen[3] + (CUT_OUT[1] + CUT_OUT_ABOVE) * face.height)
    else:
        edge = 2 if side[0] > 0 else 0
        seen[edge] -= side[0] * share * (x_max - x_min)
        center = (seen[edge] + side[0] * half_width, center[1] + 0.15 * face.height)
    front = paste(canvas, head, center=center, height=face.height)
    return replace(face, box=(seen[0], seen[1], seen[2], seen[3])), front


def compose(
    heads: tuple[Head, ...],
    background: np.ndarray,
    heights: tuple[int, ...],
    *,
    seed: int,
    max_tilt: float = 0.0,
    cut: float = 0.0,
    hidden: float = 0.0,
) -> Scene:
    """Paste one head per entry of ``heights`` at random places that do not overlap.

    Args:
        background: RGB uint8; copied.
        max_tilt: tilts are drawn from -max_tilt to max_tilt degrees.
        cut: share of each face's width or height that lies beyond the nearest border (0: wholly inside).
        hidden: share of each face's width, or height, that another head on its right, on its left or below hides (0: none).
    """
    rng = np.random.default_rng(seed)
    canvas = background.copy()
    rows, columns = canvas.shape[:2]
    taken: list[tuple[float, float, float]] = []
    faces, in_front = [], []
    for height in sorted(heights, reverse=True):
        for _ in range(300):
            radius = height * (1.35 if hidden else 1.05)
            if cut:
                depth = height * (0.5 - cut)  # distance of the face's center from the border
                side = rng.integers(3)  # left, right, bottom: a head cut off at the top shows no face
                x = (depth * 0.8, columns - depth * 0.8, rng.uniform(radius, columns - radius))[side]
                y = (rng.uniform(radius, rows - radius),) * 2 + (rows - depth,)
                center = (float(x), float(y[side]))
            else:
                across, down = min(radius, columns / 2 - 1), min(radius, rows / 2 - 1)
                center = (float(rng.uniform(across, columns - across)), float(rng.uniform(down, rows - down)))
            if all(math.hypot(center[0] - x, center[1] - y) > radius + r for x, y, r in taken):
                break
        else:
            continue  # no room left; the scene has one face fewer and says so in ``faces``
        taken.append((*center, radius))
        head = heads[int(rng.integers(len(heads)))]
        tilt = float(rng.uniform(-max_tilt, max_tilt)) if max_tilt else 0.0
        side = SIDES[int(rng.integers(len(SIDES)))] if hidden else (0, 0)
        center = (center[0] - 0.35 * height * side[0], center[1] - 0.35 * height * side[1])  # the place is the middle of both heads
        face = paste(canvas, head, center=center, height=height, tilt=tilt, portrait=bool(rng.integers(2)))
        if hidden:
            other = heads[int(rng.integers(len(heads)))]
            face, front = hide(canvas, face, other, share=hidden, side=side)
            in_front.append(front)
        faces.append(face)
    return Scene(canvas, tuple(faces), tuple(in_front))
