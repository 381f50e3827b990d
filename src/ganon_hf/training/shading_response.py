"""How real faces shade themselves, learned from what synthetic faces lack beside them.

Real training faces are replaced under an even light, and the difference in the canonical texture is regressed on the state of the light:
the main directions in which the light at the landmarks varies. Mirror images count, too, so that the answer is symmetric. What all faces
differ by is left out (see ``calibration.py``), and what belongs to single faces averages out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.anonymizer import Anonymizer
from ..core.compositing import composite_face
from ..core.face_mesh import MIRROR, UV_MAP
from ..core.opencv import cv2
from ..core.shading import ShadingResponse, light_at_landmarks, relative_light
from .calibration import batches, plan_face
from .shards import FaceShards
from .textures import FaceSample, unwrap_samples

# Side of the maps, and of the textures that are compared.
MAP_SIZE, _TEXTURE_SIZE = 64, 128
# Standard deviation, in texels of these textures, of the blur before the comparison.
_BLUR = 0.8
# Texels are compared where both faces show them better than the first number, in gray values of trust; a texel of the maps needs this share
# of such texels, and of such faces.
_TRUSTED, _VISIBLE, _MIN_SHARE = 127, 0.7, 0.3
# Added to luma, in gray values, before logarithms; and the largest difference of these, beyond which it is a thing in front of the face.
_DARK, _MAX_DIFFERENCE = 6.0, 1.0
# Ridge penalty, in faces.
_RIDGE = 20.0


@dataclass(frozen=True, eq=False)
class ShadedFaces:
    """Real faces beside synthetic ones under an even light of the same kind.

    Attributes:
        light: (n, 468) at the landmarks.
        difference: (n, T, T) float32 log luma, real minus synthetic.
        visible: (n, T, T) bool, where both are seen.
    """

    light: np.ndarray
    difference: np.ndarray
    visible: np.ndarray


def replaced_evenly(
    engine: Anonymizer, faces: FaceShards, rows: Sequence[int] | np.ndarray
) -> Iterator[tuple[FaceSample, FaceSample, np.ndarray]]:
    """Each real face, the synthetic face in its place that does not shade itself, and the (468,) light at its landmarks.

    Args:
        engine: with the bank to be used.
        faces: prepared faces in color.
        rows: which of them; the number of a row is the seed.
    """
    for row in rows:
        real = faces.sample(int(row))
        plan = plan_face(engine, real, seed=int(row))
        planned = plan.faces[0]
        images = [image for image in engine.generate(plan.inputs) if not isinstance(image, str)]
        if planned.crop is None or planned.points is None or not images:
            continue
        found: list[np.ndarray] = []

        def record(
            light: np.ndarray, points: np.ndarray, index: np.ndarray, offset: tuple[int, int], found: list[np.ndarray] = found
        ) -> np.ndarray:
            found.append(light_at_landmarks(light, points, offset))
            return np.ones_like(light)

        canvas = plan.photo.copy()
        generator = np.random.default_rng(int(row))
        composite_face(canvas, images[0], planned.crop, planned.points, match_tone=True, grayscale=False, generator=generator, shade=record)
        if found:
            yield real, FaceSample(canvas, planned.crop.to_photo(planned.points), 0, False, False, 1.0), found[0]


def compare_shading(pairs: Iterator[tuple[FaceSample, FaceSample, np.ndarray]]) -> ShadedFaces:
    """Compare real faces with the synthetic ones in their place.

    Raises:
        ValueError: there is no pair.
    """
    lights, differences, visible = [], [], []
    for batch in batches(pairs):
        *sides, light = zip(*batch, strict=True)
        lights.append(np.stack(light))
        logs, seen = [], []
        for side in sides:
            textures = unwrap_samples(side, _TEXTURE_SIZE)
            trusted = (textures.trust > _TRUSTED).astype(np.float32)
            level = np.stack([_blurred(*pair) for pair in zip(textures.luma.astype(np.float32), trusted, strict=True)])
            logs.append(np.log(level + _DARK))
            seen.append(np.stack([cv2.resize(one, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA) for one in trusted]))
        both = np.minimum(*seen) > _VISIBLE
        difference = np.clip(logs[0] - logs[1], -_MAX_DIFFERENCE, _MAX_DIFFERENCE)
        differences.append(np.where(both, difference, 0).astype(np.float32))
        visible.append(both)
    if not lights:
        raise ValueError("shading is learned from real faces, but none were replaced.")
    return ShadedFaces(np.concatenate(lights), np.concatenate(differences), np.concatenate(visible))


def fit_response(faces: ShadedFaces, components: int = 6) -> ShadingResponse:
    """The linear answer of shading to light.

    Args:
        faces: see :func:`compare_shading`; several times as many as components.
        components: directions of the light that count.
    """
    mirrored = MIRROR[: len(UV_MAP)]
    light = relative_light(np.concatenate([faces.light, faces.light[:, mirrored]]))
    difference = np.concatenate([faces.difference, faces.difference[..., ::-1]])
    visible = np.concatenate([faces.visible, faces.visible[..., ::-1]])
    mean = light.mean(axis=0)
    _, _, directions = np.linalg.svd(light - mean, full_matrices=False)
    directions = directions[:components]
    directions /= np.maximum(((light - mean) @ directions.T).std(axis=0), 1e-6)[:, None]
    states = np.hstack([np.ones((len(light), 1)), (light - mean) @ directions.T])
    penalty = np.diag([0.0] + [_RIDGE] * len(directions))
    maps = np.zeros((len(directions), MAP_SIZE, MAP_SIZE), np.float32)
    for row, column in np.argwhere(visible.mean(axis=0) > _MIN_SHARE):
        seen = states[visible[:, row, column]]
        values = difference[visible[:, row, column], row, column]
        maps[:, row, column] = np.linalg.solve(seen.T @ seen + penalty, seen.T @ values)[1:]
    return ShadingResponse(mean.astype(np.float32), directions.astype(np.float32), maps)


def _blurred(luma: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """(T, T) luma -> that of the maps' size, from trusted texels alone."""
    total, weight = (cv2.GaussianBlur(values, (0, 0), _BLUR) for values in (luma * trusted, trusted))
    return cv2.resize(total / np.maximum(weight, 0.05), (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
