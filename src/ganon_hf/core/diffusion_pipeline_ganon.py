"""GanonPipeline: the same anonymization as a diffusers pipeline; a thin adapter around :class:`~.anonymizer.Anonymizer`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from huggingface_hub import snapshot_download
from PIL import Image

from .anonymizer import Anonymizer
from .faces import Box, Face
from .image_loading import is_single
from .image_processing_ganon import GanonImageProcessor
from .modeling_ganon import GanonModel
from .options import AnonymizeOptions, Cover, Geometry, OnNoFace, OutputKind, PrivacyLevel, SkinTone, reject_unknown_options, require_number


@dataclass
class GanonPipelineOutput(BaseOutput):
    """Output of :class:`GanonPipeline`.

    Attributes:
        images: one RGB image per result. With ``output_type="np"`` one float32 array (results, height, width, 3), with ``"pt"`` one
            float32 tensor (results, 3, height, width), both in [0, 1]; a list of these without the first axis where sizes differ.
        faces: for each result, a list of ``{"box", "score", "status", "reason", "look", "kept"}``.
        seeds: for each result, the seed that reproduces it.
    """

    images: list[Image.Image] | np.ndarray | list[np.ndarray] | torch.Tensor | list[torch.Tensor]
    faces: list[list[dict[str, Any]]]
    seeds: list[int | None]


_NO_STEPS = "a face is drawn in one pass, without steps, noise or guidance"
# What users of diffusers are used to type, and why it is no option here.
_OF_DIFFUSION = {
    **dict.fromkeys(("prompt", "prompt_2", "negative_prompt", "prompt_embeds"), "nothing is drawn from words but `look`"),
    **dict.fromkeys(("num_inference_steps", "timesteps", "sigmas", "guidance_scale", "strength", "eta", "latents"), _NO_STEPS),
    **dict.fromkeys(("callback", "callback_steps", "callback_on_step_end", "callback_on_step_end_tensor_inputs"), _NO_STEPS),
    **dict.fromkeys(("height", "width"), "a result has the size of its photo"),
    "mask_image": "faces are found by the detector, or given as `faces`",
}


def _explain_options_of_diffusion(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the TypeError about a keyword of diffusion says why there is none."""

    @functools.wraps(call)
    def explained(*args: Any, **keywords: Any) -> Any:
        for name in keywords:
            if name in _OF_DIFFUSION:
                raise TypeError(f"GanonPipeline takes no {name}: {_OF_DIFFUSION[name]}.")
        return call(*args, **keywords)

    return explained


class GanonPipeline(DiffusionPipeline):
    """Every face in a photo becomes a synthetic one, or is covered. The pixels are those of the transformers task with the same seed.

    Args:
        generator: the model.
        image_processor: draws the model's condition.
        detector: finds faces; None builds a :class:`~.detection_search.YuNetDetector` when it is first needed. It is not saved.

    Raises:
        ValueError: a model and an image processor that do not match.
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

    # As in pipeline_ganon.py. A base class for both would be longer than the two, must stand before the libraries' own in two hierarchies,
    # and would be one more file in every repository of the Hub.
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
            kwargs: ``revision``, ``cache_dir``, ``token``, ``local_files_only`` and ``force_download`` are respected.

        Returns:
            the folder in the cache.
        """
        heeded = ("revision", "cache_dir", "token", "local_files_only", "force_download")
        given = {name: kwargs[name] for name in heeded if kwargs.get(name) is not None}
        return snapshot_download(pretrained_model_name, allow_patterns=["*.json", "*.safetensors"], **given)

    @torch.no_grad()
    @_explain_options_of_diffusion
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
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        faces: Sequence[Face | Box] | Sequence[Sequence[Face | Box] | None] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> GanonPipelineOutput | tuple[Any, list[list[dict[str, Any]]]]:
        """Anonymize one photo or a list of them.

        Args:
            image: a path, URL, PIL image, RGB array (height, width, 3) or tensor (3, height, width), uint8 or float in [0, 1]; or a
                list of these, or several arrays or tensors of one size as one.
            seed: determines the synthetic people: the same seed gives the same people. Default: new ones for every photo or video.
            geometry: `anonymous` replaces the face shape with a synthetic one; `original` keeps the shape, as in the paper: expressions
                are more accurate, but the shape can identify people.
            privacy: with geometry `anonymous`, how little of the original face shape is carried over: `low` preserves expressions best,
                `high` hides most.
            skin_tone: `match` takes the tone from the skin around the face, `random` from the synthetic person.
            look: the group that a synthetic person is drawn from: `match` estimates age, sex and beard from the face, in coarse classes;
                `random` draws anybody; a description such as `woman, 30` or `man, old, beard` sets the group by hand.
            output: `photo` puts the synthetic faces back into the photo; `crop` returns only the faces, on black, side by side.
            cover: color of the cover over a face that cannot be replaced: `tone` is the mean of its surroundings, `black` is black.
            keep_occluders: keep what is in front of a face: masks, hands, hats, hair, sunglasses, microphones. Off: the whole face is
                painted over.
            min_face_size: height in pixels of the smallest face to search for. Smaller values find more faces and take longer.
            min_score: detector confidence below which a face is ignored. Lower values miss fewer faces and give more false positives.
            on_no_face: what to do if no face is found, since one may have been missed: `raise` refuses the photo or video, `keep` returns
                it unchanged.
            num_images_per_prompt: how many results for each photo; they are next to each other in the output. With a seed, they use that
                seed and the following ones.
            generator: draws the seeds, in place of ``seed``: one for all photos, or a list with one for each.
            faces: known faces, as ``Face`` or boxes (x_min, y_min, x_max, y_max); for a list of photos, one sequence per photo.
            output_type: ``"pil"``, ``"np"`` or ``"pt"``, see :class:`GanonPipelineOutput`.
            return_dict: False returns the tuple ``(images, faces)``.

        Raises:
            UnusableImageError: a photo cannot be read.
            NoFaceError: no face was found in one of the photos, with ``on_no_face="raise"``.
            TypeError: an unknown option. ValueError: an argument out of range.
        """
        # 1. check
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type must be 'pil', 'np' or 'pt', but got {output_type!r}.")
        require_number("num_images_per_prompt", num_images_per_prompt, 1, 1000, integer=True)
        many = isinstance(image, list | tuple) or (hasattr(image, "ndim") and not is_single(image))
        photos = list(image) if many else [image]
        seeds = _seeds(seed, generator, len(photos), num_images_per_prompt)
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
        found: list[Any] = list(faces) if many and faces is not None else [faces] * len(photos)
        if len(found) != len(photos):
            raise ValueError(f"faces must have one entry per photo: {len(photos)} photos, {len(found)} entries.")
        # 2. photo by photo: detect, synthesize, put back
        results = []
        for photo, known, own_seeds in zip(photos, found, seeds, strict=True):
            for own in own_seeds:
                plan = self.engine.plan(photo, replace(options, seed=own), faces=known)
                known = [face.face for face in plan.faces]  # searched once
                results.append(self.engine.compose(plan, self.engine.generate(plan.inputs)))
        # 3. output
        images = _as_output([result.image for result in results], output_type)
        reports, used = [[face.to_dict() for face in result.faces] for result in results], [result.seed for result in results]
        return GanonPipelineOutput(images=images, faces=reports, seeds=used) if return_dict else (images, reports)


def _seeds(
    seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None, photos: int, each: int
) -> list[list[int | None]]:
    """The seeds of each photo's results; None where one is to be drawn."""
    if generator is None:
        return [[None if seed is None else seed + number for number in range(each)] for _ in range(photos)]
    if seed is not None:
        raise ValueError("give seed or generator, not both.")
    if isinstance(generator, torch.Generator):
        shared: list[int | None] = [_draw(generator) for _ in range(each)]
        return [shared] * photos
    if len(generator) != photos:
        raise ValueError(f"generator must be one for all photos, or a list of one for each: {photos} photos, {len(generator)} generators.")
    return [[_draw(own) for _ in range(each)] for own in generator]


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (1,), generator=generator, device=generator.device))


def _as_output(pictures: list[Image.Image], output_type: str) -> Any:
    """Pictures as the output type wants them."""
    if output_type == "pil":
        return pictures
    arrays: list[Any] = [np.asarray(picture, dtype=np.float32) / 255 for picture in pictures]
    if output_type == "pt":
        arrays = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    if len({array.shape for array in arrays}) != 1:
        return arrays
    return np.stack(arrays) if output_type == "np" else torch.stack(arrays)
