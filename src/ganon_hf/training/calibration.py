"""Calibration of the bank: synthetic faces must not differ on average from the real faces in whose place they stand.

The people of the bank are made from portraits by text-to-image models, whose mean face is another than that of photos: shorter, with dark
corners of the mouth, gray lips and a bright ridge of the nose. So real training faces are replaced, and the synthetic faces are compared
with them in the canonical texture and in shape. The median difference over all of them is added to everybody in the bank; it holds nothing
of a single face, and the median ignores spectacles, bangs and hands, which few of them have. Men and the middle-aged are the most frequent
among them, so groups are then compared apart.

Of irises, the size is compared as well: they are a few of many points, and the shape's coefficients hardly see them.

Real training faces are adults. By what children differ, portraits by the same text-to-image models know: what the portraits of children
have beyond the synthetic children in their place, less what those of adults have beyond theirs, which is how these models draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ..core.anonymizer import Anonymizer
from ..core.faces import Face, box_of_points
from ..core.landmarks import iris_texels
from ..core.look import MATCH, Look
from ..core.modeling_ganon import GanonModel, ShapeStatistics
from ..core.opencv import cv2
from ..core.options import AnonymizeOptions
from ..core.people import MAX_MEAN_SHAPE
from ..core.plans import PhotoPlan
from .lighting import LightModel
from .people_bank import add_to_people, change_mouths, mouth_mask
from .portraits import even_luma, half_size, iris_diameters, mouth_shapes, predicted_luma, relative_chroma
from .shape_space import ridge_solution
from .shards import FaceShards
from .textures import FaceSample, unwrap_samples

# Lips closer than the first number, in distances of the eyes' outer corners, under a head turned less than the second, in degrees: at rest.
_CLOSED, _FRONTAL = 0.03, 20.0
# Texels are compared where both faces show them better than this; the difference fades out where fewer faces than this share, or than this
# number, do.
_MIN_TRUST, _MIN_SHARE, _MIN_FACES = 0.5, 0.15, 20
# Share of the difference in shape that is taken over: some of it may be expression and pose. Tuned on photos.
_SHAPE_SHARE = 0.8
# Ridge penalty of the difference in shape, as a share of the mean direction: small directions follow noise.
_SHAPE_RIDGE = 0.01
# Standard deviation of the blur of the differences, in texels at 256, and the limits of the gain of the inside of mouths.
_BLUR, _MOUTH_GAIN = 1.0, (0.8, 1.3)
# Limits of the factor of the irises' diameter that the shape gives.
_IRIS_SCALES = (0.7, 1.6)
# Faces that are unwrapped at once.
_BATCH = 64
Compared = TypeVar("Compared")  # what belongs to one real face


@dataclass(frozen=True, eq=False)
class Bias:
    """By how much real faces differ from the synthetic ones in their place.

    Attributes:
        luma: (T, T) float32 gray values under even light, 0 where too few faces were seen.
        chroma: (2, T / 2, T / 2) float32 Cb and Cr relative to the skin's.
        mouth: factor of the luma of teeth and tongue.
        shape: (k,) identity coefficients of the neutral shape.
        irises: ratio of the diameters of the real irises to the synthetic ones'.
        shown: (T, T) float32 0..1, by how much the differences fade out where few faces were seen.
        num_resting: real faces at rest, from which the shape was measured.
    """

    luma: np.ndarray
    chroma: np.ndarray
    mouth: float
    shape: np.ndarray
    irises: float
    shown: np.ndarray
    num_resting: int = 0

    def beyond(self, other: Bias) -> Bias:
        """What is not in another bias, which has the same cause, where both were seen; mouths are left out."""
        both = np.minimum(self.shown, other.shown)
        shares = [both / np.maximum(some, 1e-3) for some in (self.shown, other.shown)]  # back to what did not fade
        luma = shares[0] * self.luma - shares[1] * other.luma
        chroma = shares[0][::2, ::2] * self.chroma - shares[1][::2, ::2] * other.chroma
        return Bias(luma, chroma, 1.0, self.shape - other.shape, self.irises / other.irises, both)

    @property
    def luma_rms(self) -> float:
        """Root mean square of the difference in luma, where there is any, in gray values."""
        return float(np.sqrt(np.square(self.luma).sum() / max(np.count_nonzero(self.luma), 1)))


def plan_face(engine: Anonymizer, real: FaceSample, *, seed: int, look: str = MATCH) -> PhotoPlan:
    """The plan of a photo with one face, whose landmarks are known."""
    face = Face(box_of_points(real.landmarks), 1.0, real.landmarks)
    return engine.plan(real.image, AnonymizeOptions(seed=seed, look=look), faces=[face])


def replaced_faces(
    engine: Anonymizer, faces: FaceShards, rows: Sequence[int] | np.ndarray, look: str = MATCH
) -> Iterator[tuple[FaceSample, FaceSample]]:
    """Each real face, and the synthetic face in its place; faces that were covered are left out.

    Args:
        engine: with the bank to be calibrated; the number of a row is the seed.
        faces: prepared faces in color.
        rows: which of them.
        look: of the synthetic people; as in :class:`.options.AnonymizeOptions`.
    """
    for row in rows:
        real = faces.sample(int(row))
        plan = plan_face(engine, real, seed=int(row), look=look)
        result, planned = engine.compose(plan, engine.generate(plan.inputs)), plan.faces[0]
        if result.num_replaced and planned.crop is not None and planned.points is not None:
            yield real, replace(real, image=np.asarray(result.image), landmarks=planned.crop.to_photo(planned.points))


def drawn_looks(engine: Anonymizer, faces: FaceShards, rows: Sequence[int] | np.ndarray) -> list[Look]:
    """The look of the synthetic person who is drawn in place of each of some faces; arguments as of :func:`replaced_faces`."""
    return [plan_face(engine, faces.sample(int(row)), seed=int(row)).faces[0].identity.look for row in rows]


def measure_bias(model: GanonModel, pairs: Iterator[tuple[FaceSample, FaceSample]], *, shape_ridge: float = _SHAPE_RIDGE) -> Bias:
    """Compare real faces with the synthetic ones in their place.

    Args:
        model: with prior, bank and shape statistics.
        pairs: see :func:`replaced_faces`.
        shape_ridge: penalty of the difference in shape, as a share of the mean direction; the fewer faces, the larger.

    Raises:
        ValueError: there is no pair, no face at rest among them, or the model has no bank.
    """
    if model.people is None or model.prior is None:
        raise ValueError("only a model with conditioning='mesh' has a bank to be calibrated.")
    size = model.config.people_texture_size
    light, mouth_area = LightModel(size), mouth_mask(size)
    luma, chroma, seen, gains, shapes, sizes = [], [], [], [], [], []
    for batch in batches(pairs):
        real, synthetic = (unwrap_samples(side, size) for side in zip(*batch, strict=True))
        rows = np.arange(len(real))
        _, reference = predicted_luma(model.prior, real, rows)
        levels = [even_luma(side, rows, reference, light) for side in (real, synthetic)]
        trusted = np.minimum(real.trust, synthetic.trust) > 255 * _MIN_TRUST
        tints = [relative_chroma(side, rows, rows, light)[0] for side in (real, synthetic)]
        luma.append((levels[0] - levels[1]).astype(np.float16))
        chroma.append((tints[0] - tints[1]).astype(np.float16))
        seen.append(trusted)
        open_mouth = trusted & (mouth_area > 0.5)
        gains += [one[here].sum() / max(two[here].sum(), 1.0) for one, two, here in zip(*levels, open_mouth, strict=True) if here.any()]
        frontal = (np.abs(real.angles) < _FRONTAL).all(axis=1)
        resting = (mouth_shapes(real.shapes)[:, 0] < _CLOSED) & frontal
        sizes.append(np.stack([iris_diameters(side.shapes[frontal]) for side in (real, synthetic)]))
        shapes.append((real.shapes - synthetic.shapes).reshape(len(real), -1)[resting])
    if not luma or not sum(map(len, shapes)):
        raise ValueError("a bank is calibrated on real faces, some of them at rest, but none were replaced.")
    visible = np.concatenate(seen)
    difference = _median(np.concatenate(luma), visible)
    halves = visible[:, ::2, ::2]
    tint = np.stack([_median(one, halves) for one in np.concatenate(chroma).transpose(1, 0, 2, 3)])
    skin = without_eyes_and_mouth(size)  # eyes keep their colors
    mouth = float(np.clip(np.median(gains), *_MOUTH_GAIN)) if gains else 1.0
    shape = _SHAPE_SHARE * _explaining_identity(np.concatenate(shapes).mean(axis=0), model.geometry, shape_ridge)
    own, drawn = np.median(np.concatenate(sizes, axis=1), axis=1)
    return Bias(difference * skin, tint * half_size(skin), mouth, shape, float(own / drawn), _fade(visible), sum(map(len, shapes)))


def without_eyes_and_mouth(size: int) -> np.ndarray:
    """(size, size) float32 texture, 0 in irises and on the inside of mouths, 1 elsewhere."""
    skin = 1 - mouth_mask(size)
    for rows, columns, _ in iris_texels(size):
        skin[rows, columns] = 0
    return skin


def _explaining_identity(difference: np.ndarray, statistics: ShapeStatistics, ridge: float) -> np.ndarray:
    """(1434,) mean difference of canonical landmarks -> (k,) identity coefficients that explain it.

    Unlike :func:`.portraits.identity_coefficients`, they are not limited: a mean over many faces is sure.
    """
    basis = (statistics.axes * statistics.deviations @ statistics.identity_basis).double().numpy()
    return ridge_solution(basis, difference, ridge)


def remove_bias(model: GanonModel, bias: Bias, who: np.ndarray, *, mouths: bool = True) -> None:
    """Add the difference to people in the bank of a model (in place); shapes and irises only up to a limit.

    Args:
        model: with a bank.
        bias: the difference.
        who: (n,) numbers of the people.
        mouths: change the inside of mouths, which belong to everybody, too.

    Raises:
        ValueError: the model has no bank.
    """
    if model.people is None:
        raise ValueError("only a model with conditioning='mesh' has a bank to be calibrated.")
    if mouths:
        change_mouths(model.people, bias.chroma, bias.mouth)
    add_to_people(model.people, bias.luma, bias.chroma, who)
    rows = torch.from_numpy(who)
    with torch.no_grad():
        shapes = model.geometry.people_shapes
        irises = model.geometry.people_irises
        irises[rows] = (irises[rows] * bias.irises).clamp(*_IRIS_SCALES)
        # all move alike, as far as their mean may go: a limit for each by himself would make them resemble each other
        mean = shapes[rows].mean(dim=0)
        shapes[rows] += (mean + torch.from_numpy(bias.shape.astype(np.float32))).clamp(-MAX_MEAN_SHAPE, MAX_MEAN_SHAPE) - mean


def batches(pairs: Iterator[Compared]) -> Iterator[list[Compared]]:
    """A few faces at a time, as many as are unwrapped at once; shows the progress."""
    batch = []
    for pair in tqdm(pairs, unit="face", desc="comparing"):
        batch.append(pair)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _median(values: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(n, T, T) values -> (T, T) symmetric median of the visible ones, smooth, fading to 0 where few are visible."""
    share = visible.mean(axis=0, dtype=np.float32)
    result = np.zeros(values.shape[1:], np.float32)
    for row, (here, shown) in enumerate(zip(values.transpose(1, 2, 0), visible.transpose(1, 2, 0), strict=True)):
        some = np.flatnonzero(share[row] > 0)
        result[row, some] = np.nanmedian(np.where(shown[some], here[some], np.nan), axis=1)
    result *= _fade(visible)
    result = cv2.GaussianBlur(result, (0, 0), _BLUR * len(result) / 256)
    return (result + result[:, ::-1]) / 2


def _fade(visible: np.ndarray) -> np.ndarray:
    """(n, T, T) bool, where each face is seen -> (T, T) how much their difference counts; twice as many faces as needed count in full."""
    needed = max(_MIN_SHARE, min(_MIN_FACES / len(visible), 1.0))
    return np.clip(2 * visible.mean(axis=0, dtype=np.float32) / needed - 1, 0, 1)
