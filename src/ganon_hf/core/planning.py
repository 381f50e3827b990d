"""What becomes of one face of a photo: whom it becomes, where the synthetic face goes, and the model's inputs for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .alignment import align_face
from .compositing import feature_mask, is_gray
from .face_checks import covers_features, rejection_reason
from .faces import Crop, Face
from .geometry import ShapeModel
from .head_warping import HeadWarp
from .image_processing_ganon import GanonImageProcessor
from .look import RANDOM, Look, parse_look
from .look_reading import read_look
from .modeling_ganon import GanonModel
from .mouth_reading import MouthLight, read_mouth
from .options import AnonymizeOptions
from .people import Identity, Population, draw_identity
from .plans import FacePlan

# People who are tried for a face of a photo before it is covered because their faces do not fit its place.
MAX_PEOPLE = 6
# A face that the photo shows larger than its crop by more than the first number is drawn at twice the size, and at twice that, up to the
# second number: this bounds memory.
_MAX_ENLARGEMENT, _LARGEST_SIZE = 1.2, 1024


@dataclass(frozen=True, eq=False)
class FacePlanner:
    """Plans the faces of photos.

    Attributes:
        model: the generator, of which only sizes and the look classifier are used.
        image_processor: prepares its inputs.
        shape_model: exchanges the identity in a face's shape.
        population: the people that are drawn from.
    """

    model: GanonModel
    image_processor: GanonImageProcessor
    shape_model: ShapeModel
    population: Population

    def look_of(self, photo: np.ndarray, face: Face, options: AnonymizeOptions) -> Look | None:
        """Of whom a face's synthetic person is drawn.

        Args:
            photo: (height, width, 3) uint8 RGB, upright.
            face: in it.
            options: whose ``look`` says what is read from the photo.

        Returns:
            the look; None for anybody. Parts that are neither given nor can be read are None.
        """
        if options.look == RANDOM:
            return None
        look = parse_look(options.look)
        if self.model.look is None or face.landmarks is None:
            return look
        try:
            return look.complete(read_look(self.model.look, photo, face.landmarks))
        except ValueError:  # without a head pose; such a face is covered
            return look

    def draw(self, seed: int, number: int, look: Look | None, attempt: int = 0) -> Identity:
        """Person number ``number`` of the seed, or another one in their place."""
        return draw_identity(seed, number, self.population, look=look, num_expression=self.model.config.num_expression, attempt=attempt)

    def plan(
        self,
        photo: np.ndarray,
        options: AnonymizeOptions,
        face: Face,
        draw: Callable[..., Identity],
        attempts: int,
        *,
        reason: str = "",
        others: Sequence[Face] = (),
    ) -> FacePlan:
        """The person whom ``draw`` gives in the face's place, or the first of so many attempts who fits there; a cover with a reason.

        The mouth is not read where ``others`` lie over it: they may have to be covered.
        """
        if reason := reason or rejection_reason(face, height=photo.shape[0], width=photo.shape[1]):
            return FacePlan(face, draw(), reason=reason)
        first = self._plan_person(photo, options, face, draw(), others)
        if not first.reason:
            return first
        more = (self._plan_person(photo, options, face, draw(attempt=attempt), others) for attempt in range(1, attempts))
        return next((plan for plan in more if not plan.reason), first)

    def _plan_person(
        self, photo: np.ndarray, options: AnonymizeOptions, face: Face, identity: Identity, others: Sequence[Face]
    ) -> FacePlan:
        config, points = self.model.config, np.asarray(face.landmarks, dtype=np.float64)
        try:
            crop = align_face(points, config.image_size, tight=config.conditioning == "landmarks")
            while config.conditioning == "mesh" and options.output == "photo" and 2 * crop.size <= _LARGEST_SIZE and _is_enlarged(crop):
                crop = align_face(points, 2 * crop.size)
            head_warp, original = None, points
            if options.geometry == "anonymous":
                points = self.shape_model.anonymize(points, identity, options.privacy)
                if options.output == "photo":
                    head_warp = HeadWarp.between(original, points)
                    original = head_warp.move(original)
            original = crop.to_crop(original)
            features = feature_mask(original, crop.size)
            points = crop.to_crop(points)
            if options.output == "photo" and not covers_features(points, features):
                return FacePlan(face, identity, reason="the synthetic face would not hide all of it")
            inputs = dict(self.image_processor.preprocess(points, crop.size))
        except ValueError as error:
            return FacePlan(face, identity, reason=f"the landmarks are implausible: {error}")
        gray, mouth = is_gray(photo, face.box), MouthLight()
        if config.conditioning == "mesh":
            for name in ("people", "shares"):
                inputs[name] = torch.from_numpy(getattr(identity, name))[None]
            mouth = read_mouth(photo, crop, crop.to_crop(np.asarray(face.landmarks, np.float64)), others)
            if len(identity.mouths):
                shares = self.population.mouths.shares(identity.mouths, inputs["canonical_landmarks"][0].numpy(), mouth.teeth)
                inputs |= {"mouths": torch.from_numpy(identity.mouths)[None], "mouth_shares": torch.from_numpy(shares)[None]}
            inputs["grayscale"] = torch.tensor([[float(gray)]])
        return FacePlan(face, identity, crop, points, original, features, inputs, head_warp, mouth, gray)


def _is_enlarged(crop: Crop) -> bool:
    """Whether the photo has clearly more pixels than the crop: drawn at this size, the face would be softer than its surroundings."""
    return float(abs(np.linalg.det(crop.matrix[:, :2]))) ** 0.5 < 1 / _MAX_ENLARGEMENT


def require_one_each(count: int, people: Sequence[Any] | None, looks: Sequence[Any] | None, *, corrected: bool) -> None:
    """Raise ValueError unless people and looks, where they are given, belong to ``count`` faces; corrections would change the faces."""
    for name, what, given in (("people", "a number", people), ("looks", "an entry", looks)):
        if given is not None and (corrected or len(given) != count):
            also = " and no corrections beside them" if corrected else ""
            raise ValueError(f"{name} must have {what} for each of the {count} faces{also}, but has {len(given)}.")
