"""Films of a few pixels with faces by script: a detector that knows them, frame by frame, and can be made to miss them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from tiny import face_at, noise_photo, tiny_model, tiny_processor

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.faces import Face
from ganon_hf.video.tracking import center_of, size_of

Path = Callable[[int], Face | None]


def frame(number: int, *, scene: int = 0, width: int = 160, height: int = 120) -> np.ndarray:
    """Frame ``number`` of a film, which it carries in its first pixel; every scene has another background."""
    y, x = np.mgrid[:height, :width] * 6.0 / width
    large = 40 * np.sin(x * (1 + scene) + 2 * scene) * np.cos(y * (1 + 2 * scene))
    picture = (noise_photo(width, height, seed=scene) * 0.6 + 60 + large[..., None]).clip(0, 255).astype(np.uint8)
    picture[0, 0] = (number // 256, number % 256, 77)
    return picture


class Script:
    """Faces by name and frame number. What is in ``unseen`` as (name, frame) neither a search nor following finds.

    Args:
        paths: name -> where the face is in a frame, or None.
        unseen: (name, frame) pairs.
        follows: whether it can follow at all.
        glances: whether it can look at the frames between two searches; it sees everything there.
    """

    def __init__(
        self, paths: dict[str, Path], unseen: Iterable[tuple[str, int]] = (), *, follows: bool = True, glances: bool = False
    ) -> None:
        self.paths, self.unseen = paths, set(unseen)
        self.searches: list[int] = []
        self.sizes: list[int] = []  # that were asked for
        self.glances: list[int] = []
        self.expected: dict[int, list[Face]] = {}  # by frame, the faces without a mesh that a glance was told of
        if glances:
            self.glance = self._glance
        if not follows:
            self.follow = None  # type: ignore[assignment]

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5, known: Sequence[Face] = ()) -> list[Face]:
        number = self._number(image)
        self.searches.append(number)
        self.sizes.append(min_face_size)
        return [face for face in self._faces(number) if face.score >= min_score and face.box[3] - face.box[1] >= min_face_size]

    def _glance(self, image: np.ndarray, *, min_face_size: int, min_score: float, known: Sequence[Face]) -> list[Face]:
        number = self._number(image)
        self.glances.append(number)
        self.expected[number] = [face for face in known if face.landmarks is None]
        return [face for face in self._faces(number) if face.score >= min_score and face.box[3] - face.box[1] >= min_face_size]

    def follow(self, image: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        here = [face for face in self._faces(self._number(image)) if face.landmarks is not None]
        return [
            min(near, key=lambda f: _distance(f, face)) if (near := [f for f in here if _distance(f, face) < 0.4]) else None
            for face in faces
        ]

    def face(self, name: str, number: int) -> Face:
        """The scripted face; it must be there."""
        face = self.paths[name](number)
        if face is None:
            raise ValueError(f"{name} is away in frame {number}.")
        return face

    def _faces(self, number: int) -> list[Face]:
        found = [path(number) for name, path in self.paths.items() if (name, number) not in self.unseen]
        return [face for face in found if face is not None]

    @staticmethod
    def _number(image: np.ndarray) -> int:
        return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])


def _distance(one: Face, other: Face) -> float:
    return float(np.linalg.norm(center_of(one.box) - center_of(other.box))) / size_of(other.box)


def scripted_engine(script: Script) -> Anonymizer:
    """The tiny model behind a script."""
    return Anonymizer(tiny_model(), tiny_processor(), script)


def film_script() -> Script:
    """Two people of whom one leaves and is lost now and then: 60 frames."""
    return Script(
        {
            "a": lambda n: face_at(40 + n % 30, 60, 50) if not 20 <= n < 48 else None,
            "b": lambda n: face_at(115, 50 + n % 9, 44),
        },
        {("a", 12), ("a", 13), ("b", 33)},
    )
