"""GanonPipeline: the same anonymization as a diffusers pipeline; a thin adapter around :class:`~.anonymizer.Anonymizer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from huggingface_hub import snapshot_download
from PIL import Image

from .anonymizer import Anonymizer
from .faces import AnonymizeOptions, Box, Face, require_options
from .image_processing_ganon import GanonImageProcessor
from .modeling_ganon import GanonModel


@dataclass
class GanonPipelineOutput(BaseOutput):
    """Output of :class:`GanonPipeline`.

    Attributes:
        images: one RGB picture per photo; with ``output_type="np"`` (height, width, 3) float32 arrays in [0, 1].
        faces: per photo a list of ``{"box", "score", "status", "reason"}``.
    """

    images: list[Image.Image] | list[np.ndarray]
    faces: list[list[dict[str, Any]]]


class GanonPipeline(DiffusionPipeline):
    """Every face in a photo becomes a synthetic one, or is covered. The pixels are those of the transformers task for the same seed.

    Args:
        generator: the model.
        image_processor: draws the model's condition.
        detector: finds faces; None builds MediaPipe's when it is first needed. It is not saved.

    Raises:
        ValueError: a model and an image processor that do not fit.
    """

    model_cpu_offload_seq = "generator"

    def __init__(
        self,
        generator: GanonModel,
        image_processor: GanonImageProcessor,
        detector: Callable | None = None,  # a FaceDetector; diffusers checks types at run time, and cannot check a protocol
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator, image_processor=image_processor)  # type: ignore[attr-defined]
        self._engine = Anonymizer(generator, image_processor, detector)

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Fetch weights and configs of a Hub repository; ``from_pretrained`` calls it. Errors as of ``huggingface_hub.snapshot_download``.

        diffusers' own ``download`` looks for the code of each part in the repository, whereas here the installed package is the code.

        Args:
            pretrained_model_name: "name/model".
            kwargs: ``revision``, ``cache_dir``, ``token``, ``local_files_only`` and ``force_download`` are heeded.

        Returns:
            the folder in the cache.
        """
        heeded = ("revision", "cache_dir", "token", "local_files_only", "force_download")
        given = {name: kwargs[name] for name in heeded if kwargs.get(name) is not None}
        return snapshot_download(pretrained_model_name, allow_patterns=["*.json", "*.safetensors"], **given)

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        seed: int | None = None,
        *,
        generator: torch.Generator | None = None,
        faces: Sequence[Face | Box] | Sequence[Sequence[Face | Box] | None] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        **options: Any,
    ) -> GanonPipelineOutput | tuple[list[Any], list[list[dict[str, Any]]]]:
        """Anonymize one photo or a list of them.

        Args:
            image: a path, URL, PIL picture or uint8 RGB array (height, width, 3), or a list of these.
            seed: which synthetic people, the same ones in every photo; None draws fresh ones for each photo.
            generator: draws the seed instead.
            faces: faces found elsewhere, as ``Face`` or boxes (x_min, y_min, x_max, y_max); for a list of photos one sequence per photo.
            output_type: ``"pil"``, or ``"np"`` for float32 arrays in [0, 1].
            return_dict: False returns the tuple ``(images, faces)``.
            options: the other fields of :class:`~.faces.AnonymizeOptions`.

        Raises:
            UnusableImageError: a photo cannot be read; NoFaceError: there is no face and ``on_no_face="raise"``.
            TypeError: an unknown option; ValueError: an argument out of range.
        """
        # 1. check
        if output_type not in ("pil", "np"):
            raise ValueError(f"output_type must be 'pil' or 'np', but got {output_type!r}.")
        if seed is not None and generator is not None:
            raise ValueError("give seed or generator, not both.")
        if generator is not None:
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        require_options(options)
        settings = AnonymizeOptions(seed=seed, **options)
        many = isinstance(image, list | tuple)
        photos = list(image) if many else [image]
        found: list[Any] = list(faces) if many and faces is not None else [faces] * len(photos)
        if len(found) != len(photos):
            raise ValueError(f"faces must have one entry per photo: {len(photos)} photos, {len(found)} entries.")
        # 2. photo by photo: detect, synthesize, put back
        results = [self._engine(photo, settings, faces=known) for photo, known in zip(photos, found, strict=True)]
        # 3. output
        images: list[Any] = [result.image for result in results]
        if output_type == "np":
            images = [np.asarray(picture, dtype=np.float32) / 255 for picture in images]
        reports = [[face.to_dict() for face in result.faces] for result in results]
        return GanonPipelineOutput(images=images, faces=reports) if return_dict else (images, reports)
