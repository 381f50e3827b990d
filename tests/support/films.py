"""Short films with known faces: heads from ``scenes`` that move, tilt, come nearer, leave and return over a photo without people.

Frames are RGB uint8 (height, width, 3); truth boxes are (x_min, y_min, x_max, y_max) in pixels, as in ``scenes``.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import scenes
from PIL import Image
from scenes import Head, Truth
from skimage import data as skimage_data


@dataclass(frozen=True, eq=False)
class Actor:
    """A head and where it is: ``path(seconds)`` gives center x and y as shares of the frame, face height as a share of the frame's height
    and tilt in degrees, or None while the actor is away."""

    name: str
    head: Head
    path: Callable[[float], tuple[float, float, float, float] | None]


@dataclass(frozen=True, eq=False)
class Film:
    """Actors before a still background, with sensor noise of the given standard deviation."""

    background: np.ndarray
    actors: tuple[Actor, ...]
    frame_rate: float
    seconds: float
    noise: float = 2.0
    cut_to: tuple[float, np.ndarray] | None = None  # from this second on another background

    @property
    def num_frames(self) -> int:
        return round(self.seconds * self.frame_rate)

    def truth(self, frame: int) -> dict[str, tuple[float, float, float, float]]:
        """The visible faces of a frame, by actor: those of which at least a third is in the picture."""
        return {name: truth.box for name, truth in self._draw(frame)[1].items()}

    def frames(self) -> Iterator[np.ndarray]:
        for frame in range(self.num_frames):
            yield self.frame(frame)

    def frame(self, number: int) -> np.ndarray:
        canvas = self._draw(number)[0]
        noise = np.random.default_rng(number).normal(0, self.noise, canvas.shape[:2])[..., None]  # as cameras have it, mostly in luma
        return np.clip(np.round(canvas + noise), 0, 255).astype(np.uint8)

    def recast(self, first: np.ndarray) -> Film:
        """The same film with the heads that are in its first frame, in which everybody is there and upright, or in a result of that frame:
        they move and do not change."""
        truths, actors = self.truth(0), []
        for actor in self.actors:
            x_min, y_min, x_max, y_max = truths[actor.name]
            width, height = x_max - x_min, y_max - y_min
            left, top = (max(int(side), 0) for side in (x_min - width, y_min - height))
            picture = np.ascontiguousarray(first[top : int(y_max + height), left : int(x_max + width)])
            head = Head(picture, (x_min - left, y_min - top, x_max - left, y_max - top))
            actors.append(dataclasses.replace(actor, head=head))
        return dataclasses.replace(self, actors=tuple(actors))

    def follow(self, image: np.ndarray, number: int, name: str, side: int = 128) -> np.ndarray | None:
        """(side, side, 3) of an actor's face in a frame, or a result of it, moved back to one place; None while the actor is away."""
        place = next(actor for actor in self.actors if actor.name == name).path(number / self.frame_rate)
        if place is None:
            return None
        x, y, size, tilt = place
        zoom, angle = size * image.shape[0] / (2 * side), math.radians(tilt)
        linear = zoom * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        center = np.array([x * image.shape[1], y * image.shape[0]])
        matrix = np.hstack([linear, (center - linear @ np.full(2, side))[:, None]])
        face = cv2.warpAffine(image, matrix, (2 * side, 2 * side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)  # a warp alone would alias

    def _draw(self, number: int) -> tuple[np.ndarray, dict[str, Truth]]:
        seconds = number / self.frame_rate
        after = self.cut_to is not None and seconds >= self.cut_to[0]
        canvas = (self.cut_to[1] if self.cut_to and after else self.background).copy()
        height, width = canvas.shape[:2]
        truths: dict[str, Truth] = {}
        for actor in self.actors:
            place = actor.path(seconds)
            if place is None:
                continue
            x, y, size, tilt = place
            center, tall = (x * width, y * height), size * height
            truth = scenes.paste(canvas, actor.head, center=center, height=tall, tilt=tilt)
            visible = (truth.box[2] - truth.box[0]) * (truth.box[3] - truth.box[1])
            if visible > tall * tall * 0.25:
                truths[actor.name] = truth
        return canvas, truths


@functools.lru_cache(maxsize=1)
def heads() -> tuple[Head, ...]:
    """Neutral portraits of different people, or the astronaut and her mirror image where the data folder is absent."""
    paths = sorted(scenes.FACES.glob("eval-pairs-*.parquet"))
    if not paths:
        picture = np.ascontiguousarray(skimage_data.astronaut()[:360, 60:420])
        images = [picture, np.ascontiguousarray(picture[:, ::-1])]
    else:
        import pyarrow.parquet as parquet

        rows = parquet.read_table(paths[0], columns=["image", "person", "emotion"]).to_pylist()
        chosen = {row["person"]: row["image"]["bytes"] for row in rows if row["emotion"] == "neutral"}
        images = [np.array(Image.open(io.BytesIO(data)).convert("RGB")) for data in list(chosen.values())[:8]]
    return tuple(Head(image, box) for image, box in zip(images, scenes._mesh_boxes(images), strict=True) if box is not None)


def passers(path: Callable[[float], tuple[float, float, float, float] | None], head: Head | None = None, *, seconds: float = 1.6) -> Film:
    """One person at most, in a picture of 960 x 540 pixels."""
    background = scenes._fit(skimage_data.coffee(), 540, 960)
    return Film(background, (Actor("passer", head or heads()[0], path),), 30.0, seconds)


def profile() -> Head | None:
    """A head in profile, 180 pixels high; None where the folder of photos is absent."""
    photo = scenes.FACES.parent / "wild" / "wild-05.jpg"
    if not photo.is_file():
        return None
    with Image.open(photo) as image:
        return Head(np.array(image.convert("RGB").crop((640, 0, 1024, 400))), (144.0, 105.0, 286.0, 286.0))


def leaving_and_returning(height: int = 720, width: int = 1280, *, seconds: float = 10.0, frame_rate: float = 30.0) -> Film:
    """Two people; ``anna`` sways in her place, ``ben`` walks out to the right after a third of the time and comes back."""
    people = heads()

    def anna(t: float) -> tuple[float, float, float, float]:
        return 0.3 + 0.06 * math.sin(1.3 * t), 0.52 + 0.03 * math.sin(2.1 * t), 0.36 + 0.05 * math.sin(0.8 * t), 8 * math.sin(1.1 * t)

    def ben(t: float) -> tuple[float, float, float, float] | None:
        phase = t / seconds
        x = 0.68 if phase < 0.3 else 0.68 + (phase - 0.3) * 3.5 if phase < 0.55 else 1.2 - (phase - 0.65) * 3.0
        x = max(x, 0.7) if phase >= 0.65 else x
        if 0.45 <= phase < 0.65:
            return None
        return x + 0.02 * math.sin(2.7 * t), 0.5 + 0.02 * math.sin(1.9 * t), 0.28, -6 * math.sin(1.7 * t)

    background = scenes._fit(skimage_data.coffee(), height, width)
    return Film(background, (Actor("anna", people[0], anna), Actor("ben", people[1], ben)), frame_rate, seconds)
