"""Faces with nothing in front of them, found in pictures: what :mod:`.occluder_samples` lays things over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..core.alignment import align_face, crop_image
from ..core.faces import Crop, FaceDetector
from ..core.modeling_ganon import OccluderNetwork
from ..core.occluders import GLASSES, HAIR, MAP_SIZE, NONE, SUNGLASSES, draw_hulls
from .face_measurement import find_largest_face, read_picture
from .look_samples import read_rows
from .occluder_samples import STORED_SIZE, BareFaces

# A bare face: mean probability of spectacles in its hull, the highest one there, and share of its pixels where something else is seen.
_MEAN_GLASSES, _HIGHEST_GLASSES, _OTHER = 0.0245, 0.3, 0.03
_MARGIN = (STORED_SIZE - MAP_SIZE) // 2


def stored_crop(landmarks: np.ndarray) -> Crop:
    """The square of :class:`.BareFaces`: the aligned crop with a margin of a quarter of its side.

    Raises:
        ValueError: no head pose can be fitted to the landmarks.
    """
    crop = align_face(landmarks, MAP_SIZE)
    return Crop(crop.matrix + [[0, 0, _MARGIN]] * 2, STORED_SIZE)


def is_bare(network: OccluderNetwork, picture: np.ndarray, landmarks: np.ndarray) -> bool:
    """Whether a network sees nothing but hair in front of a stored face: (192, 192, 3) uint8 and (478, 3) pixels of it."""
    part = np.ascontiguousarray(picture[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])
    hulls = draw_hulls(landmarks - [_MARGIN, _MARGIN, 0], MAP_SIZE)
    with torch.inference_mode():
        seen, known = (torch.from_numpy(values).permute(2, 0, 1)[None].float() for values in (part, hulls))
        chances = network(seen / 127.5 - 1, known / 255).softmax(dim=1)[0].numpy()[:, hulls[..., 0] > 0]
    other = ~np.isin(chances.argmax(axis=0), (NONE, GLASSES, HAIR))
    spectacles = chances[[GLASSES, SUNGLASSES]].sum(axis=0)
    return bool(chances[GLASSES].mean() < _MEAN_GLASSES and spectacles.max() < _HIGHEST_GLASSES and other.mean() < _OTHER)


def read_bare_faces(
    paths: Sequence[str | Path],
    detector: FaceDetector,
    wanted: Callable[[tuple[str, int]], bool],
    network: OccluderNetwork | None = None,
) -> BareFaces:
    """The largest face of each picture, where nothing is in front of it.

    Args:
        paths: parquet files with the column ``image``.
        detector: finds the faces.
        wanted: says of (set, row) whether it is read.
        network: leaves out faces on which it sees something; None takes all that are wanted.
    """
    pictures, landmarks = [], []
    for place, row in tqdm(read_rows(paths), unit="picture", desc="finding faces"):
        if not wanted(place):
            continue
        picture = read_picture(row["image"])
        _, points = find_largest_face(picture, detector)
        if points is None:
            continue
        try:
            crop = stored_crop(points)
        except ValueError:  # no head pose
            continue
        stored, there = crop_image(picture, crop), crop.to_crop(points).astype(np.float32)
        if network is None or is_bare(network, stored, there):
            pictures.append(stored)
            landmarks.append(there)
    return BareFaces(np.array(pictures), np.array(landmarks))
