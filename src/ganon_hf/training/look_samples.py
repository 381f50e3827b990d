"""Pictures of heads and a table of labels -> samples that the look classifier is trained with.

The table (``scripts/fit/looks.csv``) has one row per picture: the set (the name of its parquet files), the row in it, ``sex`` (woman, man,
unsure), ``age`` (a class of ``core/look.py``), ``age_sure`` (1 or 0), ``beard`` (yes, no, unsure), for synthetic portraits whether
``glasses``, something over the forehead (``covered``), an ``object`` or hand, or a ``stylized`` picture is in the way, and an estimate of
the ``years`` of adults.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from ..core.alignment import crop_image
from ..core.face_mesh import MEAN_LANDMARKS
from ..core.faces import FaceDetector, box_of_points
from ..core.geometry import normalize_pose
from ..core.look import AGES, SEXES
from ..core.look_reading import LOOK_SIDE, look_crop
from ..core.modeling_ganon import LookClassifier
from ..core.opencv import cv2
from .face_measurement import find_largest_face, read_picture
from .persons import held_out_people

# Side of the stored pictures in pixels, and of the part of them that the classifier sees: the rest is margin for moving and turning.
SEEN_SIZE = LookClassifier.image_size
STORED_SIZE = SEEN_SIZE * 5 // 4
# Heights in pixels of the faces in which landmarks are found once more: those of small faces are less exact, and all resemble an adult's.
SMALL_FACES = (48, 24)
# Share of the batches that each set gets, and how much oftener than the rest of its set a kind of picture is drawn: few pictures show
# children or beards.
_SHARES = {"synthetic": 0.42, "train-staff": 0.1, "train-color": 0.12, "train-expressions": 0.36}
_OTHER_SHARE = 0.1
_AGE_FREQUENCY = {"toddler": 5.0, "child": 7.0, "young": 1.0, "middle": 1.3, "old": 1.6}
_BEARD_FREQUENCY, _STYLIZED_FREQUENCY = 2.0, 0.5
# Probability of the age that the table says, where it is sure and where not; neighboring classes share the rest. Weight of unsure ages,
# and of what is said of the sex and beard of children.
_SURE_AGE, _UNSURE_AGE = 0.9, 0.6
_UNSURE_WEIGHT, _CHILD_SEX_WEIGHT, _CHILD_BEARD_WEIGHT = 0.5, 0.4, 0.3
# Estimated years that separate the classes of adults, and the standard deviation of their error. The estimates of old people are too low.
_MIDDLE_AGE, _OLD_AGE, _YEARS_DEVIATION = 34.0, 55.5, 6.0


@dataclass(frozen=True, eq=False)
class LookSamples:
    """Pictures of heads with labels.

    Attributes:
        pictures: (n, 160, 160, 3) uint8 RGB, the classifier's crop with margin.
        shapes: (n, 3, 478, 3) canonical landmarks, found in the picture as it is and with a face of each of :data:`SMALL_FACES`.
        ages: (n, 5) probabilities of :data:`~ganon_hf.core.look.AGES`.
        woman, beard: (n,) probabilities.
        weights: (n, 3) how much age, sex and beard of each count; 0 leaves one out.
        frequency: (n,) how often each is drawn, relative to the others.

    Raises:
        ValueError: the shapes do not fit together, or there is no sample.
    """

    pictures: np.ndarray
    shapes: np.ndarray
    ages: np.ndarray
    woman: np.ndarray
    beard: np.ndarray
    weights: np.ndarray
    frequency: np.ndarray

    def __post_init__(self) -> None:
        count, side = len(self.pictures), STORED_SIZE
        if not count:
            raise ValueError("there is no picture to train with: none of the rows in the table was given.")
        expected = {
            "pictures": (side, side, 3),
            "shapes": (1 + len(SMALL_FACES), *MEAN_LANDMARKS.shape),
            "ages": (len(AGES),),
            "woman": (),
            "beard": (),
        }
        for name, shape in {**expected, "weights": (3,), "frequency": ()}.items():
            value = getattr(self, name)
            if value.shape != (count, *shape):
                raise ValueError(f"{name} must have the shape {(count, *shape)}, but got {value.shape}.")

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def targets(self) -> np.ndarray:
        """(n, 7) in the order of the classifier's outputs."""
        return np.concatenate([self.ages, self.woman[:, None], self.beard[:, None]], axis=1).astype(np.float32)


@dataclass(frozen=True)
class LookLabel:
    """One row of the table.

    Attributes:
        sex, age, age_sure, beard, stylized: as in the table.
        years: estimate of the age of an adult; of a picture whose class of age is sure, both count. None leaves it to the class.

    Raises:
        ValueError: a value is none of those that the table may hold.
    """

    sex: str
    age: str
    age_sure: bool
    beard: str
    stylized: bool = False
    years: float | None = None

    def __post_init__(self) -> None:
        for name, choices in (("sex", SEXES), ("age", AGES), ("beard", ("yes", "no", "unsure"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but got {getattr(self, name)!r}.")
        if self.years is not None and not (self.age in AGES[2:] and 0 < self.years < math.inf):
            raise ValueError(f"years must be empty or those of an adult, but got {self.years} for {self.age!r}.")

    @property
    def ages(self) -> np.ndarray:
        """(5,) probabilities."""
        place, sure = AGES.index(self.age), _SURE_AGE if self.age_sure else _UNSURE_AGE  # type: ignore[arg-type]  # checked above
        # children and adults are told apart, even where the years are not
        neighbors = [other for other in (place - 1, place + 1) if 0 <= other < len(AGES) and (other < 2) == (place < 2)]
        values = np.zeros(len(AGES))
        values[neighbors] = (1 - sure) / len(neighbors)
        values[place] = sure
        if self.years is None:
            return values
        younger = [NormalDist(self.years, _YEARS_DEVIATION).cdf(limit) for limit in (_MIDDLE_AGE, _OLD_AGE)]
        estimated = np.array([0.0, 0.0, younger[0], younger[1] - younger[0], 1 - younger[1]])
        return (values + estimated) / 2 if self.age_sure else estimated

    @property
    def weights(self) -> np.ndarray:
        """(3,) of age, sex and beard."""
        child = self.age in AGES[:2]
        sex = 0.0 if self.sex == "unsure" else _CHILD_SEX_WEIGHT if child else 1.0
        beard = 0.0 if self.beard == "unsure" else _CHILD_BEARD_WEIGHT if child else 1.0
        return np.array([1.0 if self.age_sure or self.years is not None else _UNSURE_WEIGHT, sex, beard])

    @property
    def frequency(self) -> float:
        """How often it is drawn, relative to others of its set."""
        age = AGES[int(self.ages.argmax())]
        return _AGE_FREQUENCY[age] * (_BEARD_FREQUENCY if self.beard == "yes" else 1) * (_STYLIZED_FREQUENCY if self.stylized else 1)


def read_labels(path: str | Path) -> dict[tuple[str, int], LookLabel]:
    """(set, row) -> label of a table.

    Raises:
        ValueError: a line is no label; the message names it.
    """
    labels = {}
    with open(path, newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            try:
                years = float(row["years"]) if row.get("years") else None
                label = LookLabel(row["sex"], row["age"], row["age_sure"] == "1", row["beard"], row["stylized"] == "1", years)
                labels[row["set"], int(row["row"])] = label
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path}, line {line}: {error}") from error
    return labels


def set_of(path: str | Path) -> str:
    """The set that a parquet file belongs to: ``train-color-00001-of-00003.parquet`` is of ``train-color``."""
    return Path(path).name.removesuffix(".parquet").rpartition("-of-")[0].rpartition("-")[0] or Path(path).stem


def read_heads(
    paths: Sequence[str | Path], detector: FaceDetector, wanted: Callable[[tuple[str, int]], bool]
) -> tuple[list[tuple[str, int]], np.ndarray, np.ndarray]:
    """The largest head of each picture, as :class:`LookSamples` stores it.

    Args:
        paths: parquet files; those of a set in the order of their names.
        detector: finds the faces.
        wanted: says of (set, row) whether it is read.

    Returns:
        the places (set, row) of the pictures in which a face was found, (n, 160, 160, 3) uint8 pictures and (n, 3, 478, 3) float32 shapes.
    """
    places, heads, shapes = [], [], []
    for place, row in tqdm(read_rows(paths), unit="picture", desc="finding heads"):
        if not wanted(place):
            continue
        photo = read_picture(row["image"])
        _, landmarks = find_largest_face(photo, detector)
        if landmarks is not None:
            heads.append(crop_image(photo, look_crop(landmarks, STORED_SIZE, side=LOOK_SIDE * STORED_SIZE / SEEN_SIZE)))
            shapes.append(shapes_at_sizes(photo, landmarks, detector))
            places.append(place)
    pictures = np.array(heads, np.uint8).reshape(-1, STORED_SIZE, STORED_SIZE, 3)
    return places, pictures, np.array(shapes, np.float32).reshape(-1, 1 + len(SMALL_FACES), *MEAN_LANDMARKS.shape)


def shrink_face(photo: np.ndarray, landmarks: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """The photo scaled down to a face of a height in pixels, and its landmarks there; as it is where the face is not larger."""
    factor = height / max(float(np.ptp(landmarks[:, 1])), 1e-6)
    if factor >= 1:
        return photo, landmarks
    size = [max(8, round(side * factor)) for side in photo.shape[1::-1]]
    scale = np.array([size[0] / photo.shape[1], size[1] / photo.shape[0], factor])
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA), landmarks * scale


def shapes_at_sizes(photo: np.ndarray, landmarks: np.ndarray, detector: FaceDetector) -> np.ndarray:
    """(3, 478, 3) canonical landmarks of a face, as they are and found with a face of each of :data:`SMALL_FACES`.

    Where a detector cannot fit landmarks to a box, or none are found, the exact ones stand.
    """
    fit = getattr(detector, "landmarks", None)
    found = [landmarks]
    for height in SMALL_FACES if fit is not None else ():
        small, points = shrink_face(photo, landmarks, height)
        again = fit(small, box_of_points(points)) if small is not photo else None  # type: ignore[misc]  # not None here
        found.append(landmarks if again is None else again)
    found += [landmarks] * (1 + len(SMALL_FACES) - len(found))
    return np.stack([normalize_pose(points)[0] for points in found]).astype(np.float32)


def read_rows(paths: Iterable[str | Path]) -> Iterator[tuple[tuple[str, int], Mapping[str, Any]]]:
    """((set, row), record with the column ``image``) of parquet files, those of a set in the order of their names.

    Pictures of people who are held out (:mod:`.persons`) are counted and left out.
    """
    count, held_out = Counter[str](), held_out_people()
    for path in sorted(map(Path, paths), key=lambda path: path.name):
        name, file = set_of(path), pq.ParquetFile(path)
        columns = [column for column in ("image", "source", "person") if column in file.schema_arrow.names]
        for batch in file.iter_batches(100, columns=columns):
            for row in batch.to_pylist():
                if row.get("person") not in held_out.get(row.get("source") or "", ()):
                    yield (name, count[name]), row
                count[name] += 1


def make_samples(
    places: Sequence[tuple[str, int]], heads: np.ndarray, shapes: np.ndarray, labels: Mapping[tuple[str, int], LookLabel]
) -> LookSamples:
    """What :func:`read_heads` gives, with its labels; every set gets its share of the batches."""
    rows = [number for number, place in enumerate(places) if place in labels]
    chosen = [labels[places[number]] for number in rows]
    sets = [places[number][0] for number in rows]
    frequency = np.array([label.frequency for label in chosen])
    for name in set(sets):
        there = np.array([other == name for other in sets])
        frequency[there] *= _SHARES.get(name, _OTHER_SHARE) / frequency[there].sum()
    return LookSamples(
        heads[rows],
        shapes[rows],
        np.array([label.ages for label in chosen]).reshape(-1, len(AGES)),
        np.array([label.sex == "woman" for label in chosen], np.float64),
        np.array([label.beard == "yes" for label in chosen], np.float64),
        np.array([label.weights for label in chosen]).reshape(-1, 3),
        frequency,
    )
