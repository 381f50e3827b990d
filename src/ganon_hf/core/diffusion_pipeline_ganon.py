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
from .faces import Box, Face
from .image_processing_ganon import GanonImageProcessor
from .modeling_ganon import GanonModel
from .options import AnonymizeOptions, Cover, Geometry, OnNoFace, OutputKind, PrivacyLevel, SkinTone, reject_unknown_options


@dataclass
class GanonPipelineOutput(BaseOutput):
    """Output of :class:`GanonPipeline`.

    Attributes:
        images: one RGB picture per photo; with ``output_type="np"`` (height, width, 3) float32 arrays in [0, 1].
        faces: per photo a list of ``{"box", "score", "status", "reason", "look", "kept"}``.
    """

    images: list[Image.Image] | list[np.ndarray]
    faces: list[list[dict[str, Any]]]


class GanonPipeline(DiffusionPipeline):
    """Every face in a photo becomes a synthetic one, or is covered. The pixels are those of the transformers task for the same seed.

    Args:
        generator: the model.
        image_processor: draws the model's condition.
        detector: finds faces; None builds a :class:`~.detection_search.YuNetDetector` when it is first needed. It is not saved.

    Raises:
        ValueError: a model and an image processor that do not fit.
    """

    generator: GanonModel
    image_processor: GanonImageProcessor
    model_cpu_offload_seq = "generator"

    def __init__(
        self,
        generator: GanonModel,
        image_processor: GanonImageProcessor,
        detector: Callable | None = None,  # a FaceDetector; diffusers checks types at run time, and cannot check a protocol
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator, image_processor=image_processor)  # type: ignore[attr-defined]
        self._detector = detector
        self._engine: Anonymizer | None = Anonymizer(generator, image_processor, detector)

    @property
    def engine(self) -> Anonymizer:
        """The engine around the registered components; made anew when one of them was exchanged."""
        if self._engine is None:
            self._engine = Anonymizer(self.generator, self.image_processor, self._detector)
        return self._engine

    def __setattr__(self, name: str, value: Any) -> None:
        """An exchanged component takes effect: the engine around the old one goes, the detector that it has built stays."""
        engine = self.__dict__.get("_engine")
        if name in ("generator", "image_processor") and engine is not None:
            self._detector, self._engine = engine._detector, None
        super().__setattr__(name, value)

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
    @reject_unknown_options
    def __call__(
        self,
        image: Any,
        seed: int | None = None,
        *,
        geometry: Geometry = "anonymous",
        privacy: PrivacyLevel = "medium",
        skin_tone: SkinTone = "match",
        look: str = "match",
        output: OutputKind = "photo",
        cover: Cover = "tone",
        keep_occluders: bool = True,
        min_face_size: int = 24,
        min_score: float = 0.5,
        on_no_face: OnNoFace = "raise",
        generator: torch.Generator | None = None,
        faces: Sequence[Face | Box] | Sequence[Sequence[Face | Box] | None] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> GanonPipelineOutput | tuple[list[Any], list[list[dict[str, Any]]]]:
        """Anonymize one photo or a list of them.

        Args:
            image: a path, URL, PIL picture or uint8 RGB array (height, width, 3), or a list of these.
            seed: which synthetic people are drawn: the same seed, the same people. Default: new ones for every photo or video.
            geometry: `anonymous` exchanges the identity in the shape of the face; `original` keeps the shape, as in the paper: truer
                expression, but the shape can identify.
            privacy: how little of the shape of the face passes with geometry `anonymous`: `low` keeps expressions best, `high` hides most.
            skin_tone: `match` takes the tone from the skin around the face, `random` from the synthetic person.
            look: of which group a person is drawn: `match` reads coarse classes of age, sex and beard from the face, `random`
                draws anybody, words such as `woman, 30` or `man, old, beard` decide by hand.
            output: `photo` puts the synthetic faces back into the photo; `crop` returns them alone on black, side by side.
            cover: color over a head whose face cannot be replaced: `tone` is the mean of what surrounds it, `black` is black.
            keep_occluders: what lies in front of a face stays: masks, hands, hats, hair, sunglasses, microphones. Off: the whole face is
                painted, whatever is there.
            min_face_size: height in pixels of the smallest face to search for. Smaller finds more and takes longer.
            min_score: detector confidence below which a face is ignored. Lower misses fewer faces and covers more by mistake.
            on_no_face: where no face is found, one may have been missed: `raise` refuses the photo or video, `keep` returns it unchanged.
            generator: draws the seed, instead of ``seed``.
            faces: faces found elsewhere, as ``Face`` or boxes (x_min, y_min, x_max, y_max); for a list of photos one sequence per photo.
            output_type: ``"pil"``, or ``"np"`` for float32 arrays in [0, 1].
            return_dict: False returns the tuple ``(images, faces)``.

        Raises:
            UnusableImageError: a photo cannot be read.
            NoFaceError: no face in one of the photos, with ``on_no_face="raise"``.
            TypeError: an unknown option. ValueError: an argument out of range.
        """
        # 1. check
        if output_type not in ("pil", "np"):
            raise ValueError(f"output_type must be 'pil' or 'np', but got {output_type!r}.")
        if seed is not None and generator is not None:
            raise ValueError("give seed or generator, not both.")
        if generator is not None:
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        options = AnonymizeOptions(
            seed=seed,
            geometry=geometry,
            privacy=privacy,
            skin_tone=skin_tone,
            look=look,
            output=output,
            cover=cover,
            keep_occluders=keep_occluders,
            min_face_size=min_face_size,
            min_score=min_score,
            on_no_face=on_no_face,
        )
        many = isinstance(image, list | tuple)
        photos = list(image) if many else [image]
        found: list[Any] = list(faces) if many and faces is not None else [faces] * len(photos)
        if len(found) != len(photos):
            raise ValueError(f"faces must have one entry per photo: {len(photos)} photos, {len(found)} entries.")
        # 2. photo by photo: detect, synthesize, put back
        results = [self.engine(photo, options, faces=known) for photo, known in zip(photos, found, strict=True)]
        # 3. output
        images: list[Any] = [result.image for result in results]
        if output_type == "np":
            images = [np.asarray(picture, dtype=np.float32) / 255 for picture in images]
        reports = [[face.to_dict() for face in result.faces] for result in results]
        return GanonPipelineOutput(images=images, faces=reports) if return_dict else (images, reports)
