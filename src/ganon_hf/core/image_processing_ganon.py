"""GanonImageProcessor: landmarks -> the generator's inputs, and its output -> pixel values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_base import ImageProcessingMixin  # noqa: F401  diffusers looks for this name in this module
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from .faces import NUM_LANDMARKS
from .geometry import normalize_pose
from .landmarks import draw_dots, render_uv_map


class GanonImageProcessor(BaseImageProcessor):
    """Prepares the generator's inputs from landmarks, and its output for compositing.

    Examples:
        >>> from ganon_hf.core.face_mesh import MEAN_LANDMARKS
        >>> processor = GanonImageProcessor(image_size=64)
        >>> {name: tuple(value.shape) for name, value in processor(MEAN_LANDMARKS * 60 + 32).items()}
        {'pixel_values': (1, 4, 64, 64), 'canonical_landmarks': (1, 478, 3), 'angles': (1, 2)}

    Args:
        conditioning: ``"mesh"`` or ``"landmarks"``, as in ``GanonConfig``.
        image_size: side of the crops in pixels.
    """

    model_input_names = ["pixel_values"]

    def __init__(self, conditioning: str = "mesh", image_size: int = 256, **kwargs: Any) -> None:
        if conditioning not in ("mesh", "landmarks"):
            raise ValueError(f"conditioning must be 'mesh' or 'landmarks', but got {conditioning!r}.")
        self.conditioning = conditioning
        self.image_size = image_size
        if not __name__.startswith("transformers_modules"):
            kwargs.pop("auto_map", None)  # an exported folder names its own code; the installed package uses its own
        super().__init__(**kwargs)

    def preprocess(
        self, landmarks: np.ndarray | Sequence[np.ndarray], size: int | None = None, return_tensors: str | None = "pt"
    ) -> BatchFeature:
        """Landmarks in crop pixels -> the model's inputs.

        Args:
            landmarks: one (478, 3) array or several; x, y in pixels of the crop.
            size: side of the crop; None is ``image_size``. The mesh generator takes any multiple of 8, the other one only its own size.
            return_tensors: ``"pt"``, or None for numpy arrays.

        Returns:
            ``pixel_values``: (B, 3, S, S) dots in [-1, 1] for ``"landmarks"``; (B, 4, S, S) of (u, v, mask, dots) in [0, 1] for
            ``"mesh"``, with ``canonical_landmarks`` (B, 478, 3) and ``angles`` (B, 2), yaw and pitch in degrees.

        Raises:
            ValueError: an image was passed; or landmarks have another shape, are not finite, or have no head pose.
        """
        if _is_picture(landmarks):
            raise ValueError(
                "GanonImageProcessor takes landmarks, not a picture: it draws what the generator sees of a face. For photos: "
                'pipeline("face-anonymization", model=...)(photo), or ganon_hf.Anonymizer.'
            )
        stacked = np.asarray(landmarks, dtype=np.float64)
        if stacked.ndim == 2:
            stacked = stacked[None]
        if stacked.ndim != 3 or stacked.shape[1:] != (478, 3) or not np.isfinite(stacked).all():
            raise ValueError(f"landmarks must be finite and of shape (478, 3) or (batch, 478, 3), but got {stacked.shape}.")
        size = self.image_size if size is None else size
        if self.conditioning == "landmarks":
            dots = np.stack([draw_dots(points, size) for points in stacked]).astype(np.float32) / 127.5 - 1
            return BatchFeature({"pixel_values": np.repeat(dots[:, None], 3, axis=1)}, tensor_type=return_tensors)
        conditions, canonical, angles = [], [], []
        for points in stacked:
            uv_map, mask = render_uv_map(points, size)
            dots = draw_dots(points, size).astype(np.float32) / 255
            conditions.append(np.stack([uv_map[..., 0], uv_map[..., 1], mask, dots]))
            canonical_landmarks, pose = normalize_pose(points)
            canonical.append(canonical_landmarks.astype(np.float32))
            angles.append(np.array(pose.angles[:2], np.float32))
        inputs = {"pixel_values": np.stack(conditions), "canonical_landmarks": np.stack(canonical), "angles": np.stack(angles)}
        return BatchFeature(inputs, tensor_type=return_tensors)

    def postprocess(self, images: torch.Tensor) -> np.ndarray:
        """(B, 3, S, S) in [-1, 1] -> (B, S, S, 3) float32 0..255.

        Raises:
            ValueError: wrong number of channels, or values that are not finite (a broken generator must not reach a photo).
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (batch, 3, side, side), but got {tuple(images.shape)}.")
        values = images.detach().to("cpu", torch.float32)
        if not all(bound.isfinite() for bound in torch.aminmax(values)):  # a NaN or an infinity is one of them
            raise ValueError("the generator returned values that are not finite.")
        return values.clamp(-1, 1).add_(1).mul_(127.5).permute(0, 2, 3, 1).contiguous().numpy()


def _is_picture(value: Any) -> bool:
    """Whether somebody handed over a photo, or its name, as other image processors take it."""
    shape = tuple(getattr(value, "shape", ()))
    looks_like_pixels = len(shape) >= 3 and (3 in (shape[-1], shape[-3])) and shape[-2] != NUM_LANDMARKS
    return (
        looks_like_pixels
        or isinstance(value, str | Path | Image.Image)
        or (isinstance(value, list | tuple) and any(map(_is_picture, value)))
    )
