"""What will be done with a photo and its faces, between the engine's three steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .faces import Crop, Face
from .head_warping import HeadWarp
from .mouth_reading import MouthLight
from .options import AnonymizeOptions
from .people import Identity


@dataclass(frozen=True, eq=False)
class FacePlan:
    """What will be done with one face. Where it will be covered, ``reason`` says why and the optional fields are None.

    Attributes:
        face: the detected face.
        identity: the synthetic person.
        crop: the aligned square.
        points: (478, 3) landmarks of the synthetic face in crop pixels.
        original: (478, 3) landmarks of the original face in crop pixels, moved with the head.
        features: (S, S) bool, the original's eyes, brows, nose and mouth in the crop.
        inputs: the model's inputs for this face, each with a leading dimension of 1.
        head_warp: moves the head's outline to the synthetic one; None where the outline stays the photo's.
        mouth: how light the inside of the original's mouth is.
        grayscale: the photo has no color there, and the synthetic face gets none.
        reason: why the face will be covered; empty where it will be replaced.
    """

    face: Face
    identity: Identity
    crop: Crop | None = None
    points: np.ndarray | None = None
    original: np.ndarray | None = None
    features: np.ndarray | None = None
    inputs: dict[str, torch.Tensor] | None = None
    head_warp: HeadWarp | None = None
    mouth: MouthLight = MouthLight()
    grayscale: bool = False
    reason: str = ""


@dataclass(frozen=True, eq=False)
class PhotoPlan:
    """A photo and what will be done with each of its faces.

    Attributes:
        photo: (height, width, 3) uint8 RGB.
        options: with which it is anonymized.
        seed: decides the synthetic people.
        faces: largest first.
        in_video: it is a frame of a video, in which every face must be treated as in the frames around it.
    """

    photo: np.ndarray
    options: AnonymizeOptions
    seed: int
    faces: tuple[FacePlan, ...]
    in_video: bool = False

    @property
    def inputs(self) -> list[dict[str, torch.Tensor]]:
        """Model inputs of the faces that will be replaced, in order."""
        return [plan.inputs for plan in self.faces if plan.inputs is not None]
