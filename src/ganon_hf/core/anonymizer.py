"""Anonymizer: the one engine behind both pipelines, the command line, video and the demo.

A photo passes three steps, so that callers may batch the faces of many photos in the second:
``plan`` (detect, align, exchange the identity, prepare the model's inputs) -> ``generate`` -> ``paint``. It fails closed: a face that
cannot be replaced, for whatever reason, is covered, and after an error there is no image at all.
"""

from __future__ import annotations

import copy
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .compositing import COMPOSITE_ERRORS, composite_face, face_matte
from .corrections import Assignment, FaceCorrection, correct
from .covering import Covers
from .detection_files import source_of
from .detection_search import YuNetDetector
from .faces import AnonymizationResult, Box, Face, FaceDetector, FaceReport, NoFaceError, area_of, fit_landmarks, to_face
from .geometry import ShapeModel
from .head_warping import warp_head
from .image_loading import load_photo
from .image_processing_ganon import GanonImageProcessor
from .landmarks import triangle_map
from .look import Look
from .model_loading import load_image_processor, load_model, require_device
from .model_location import locate_model
from .modeling_ganon import GanonModel
from .occluder_map import Occluders, read_occluders
from .opencv import cv2
from .options import AnonymizeOptions
from .outlines import smooth_outlines
from .people import Population
from .planning import MAX_PEOPLE, FacePlanner, require_one_each
from .plans import FacePlan, PhotoPlan
from .shading import ShadingResponse
from .side_texture import continue_sides
from .skin_tone import SkinPainter
from .task import CHECKPOINT
from .threads import single_threaded_pool

logger = logging.getLogger(__name__)

# Mean absolute change inside the matte, in pixel values (0..255), below which a face counts as not replaced.
MIN_CHANGE = 0.5


class Anonymizer:
    """Photo in, anonymized photo out.

    Args:
        model: the generator with its shape statistics, in evaluation mode and of any float dtype. It is not changed.
        image_processor: prepares the model's inputs; its ``conditioning`` must be that of the model.
        detector: finds faces; None builds a :class:`~.detection_search.YuNetDetector` when it is first needed.
        manage_threads: on a CPU a photo's faces are generated in parallel with one torch thread each (``threads.py``); False generates
            them one after the other and leaves torch's thread count alone.

    Raises:
        ValueError: model and image processor do not match, or the model is in training mode.
    """

    def __init__(
        self,
        model: GanonModel,
        image_processor: GanonImageProcessor,
        detector: FaceDetector | None = None,
        *,
        manage_threads: bool = True,
    ) -> None:
        conditioning, drawn = model.config.conditioning, image_processor.conditioning
        if conditioning != drawn or model.config.image_size != image_processor.image_size:
            raise ValueError(
                f"model and image processor do not fit: {conditioning!r} at {model.config.image_size} px "
                f"against {drawn!r} at {image_processor.image_size} px. Load both from the same folder."
            )
        _require_evaluation_mode(model)
        self.model = model
        self.image_processor = image_processor
        self._detector = detector
        self._manage_threads = manage_threads
        statistics = copy.deepcopy(model.geometry).cpu().float()  # one small vector at a time: a GPU would only add transfers
        mean, axes, deviations = (array.double().numpy() for array in (statistics.mean, statistics.axes, statistics.deviations))
        encode, decode = partial(_call_unbatched, statistics.encode), partial(_call_unbatched, statistics.decode)
        self.shape_model = ShapeModel(mean, axes, deviations, encode, decode)
        self.population, self._shading = Population.of(statistics, model.people), ShadingResponse.of(statistics)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        detector: FaceDetector | None = None,
    ) -> Anonymizer:
        """Load model and image processor.

        Args:
            pretrained_model_name_or_path: folder or Hub repository; None uses the bundled weights.
            device: where the generator runs; None is the CPU.
            detector: finds faces; None is a :class:`~.detection_search.YuNetDetector`.

        Raises:
            OSError: the folder or repository does not have the required files.
            ValueError: the weights do not match the configuration (randomly initialized parts must never run), or there is no such device.
        """
        place = None if device is None else require_device(device)  # before the weights are read
        source = locate_model(CHECKPOINT if pretrained_model_name_or_path is None else pretrained_model_name_or_path)
        model, processor = load_model(source), load_image_processor(source)
        return cls(model if place is None else model.to(place), processor, detector)  # type: ignore[arg-type]  # transformers wraps `to`

    @property
    def detector(self) -> FaceDetector:
        """The face detector, built on first use."""
        if self._detector is None:
            source, revision = source_of(self.model.config)  # in a Hub repository its networks lie beside the weights
            self._detector = YuNetDetector(source=source, revision=revision)
        return self._detector

    def __call__(
        self,
        image: Any,
        options: AnonymizeOptions | None = None,
        *,
        faces: Sequence[Face | Box] | None = None,
        corrections: Sequence[FaceCorrection] = (),
    ) -> AnonymizationResult:
        """Anonymize one photo.

        Args:
            image: path, URL, PIL image or uint8 RGB array (height, width, 3).
            options: see :class:`AnonymizeOptions`; None uses the defaults.
            faces: known faces, as :class:`Face` or as boxes (x_min, y_min, x_max, y_max) in pixels of the upright photo; None detects
                them.
            corrections: what a reviewer of the result decided about individual faces, drawn or detected.

        Raises:
            NoFaceError: there is neither a face nor a correction, and ``on_no_face="raise"``.
            UnusableImageError: the input is not a usable image.
            CorrectionError: a correction does not match this photo.
            ValueError: a face or box is invalid.
        """
        plan = self.plan(image, options, faces=faces, corrections=corrections)
        return self.compose(plan, self.generate(plan.inputs))

    def plan(
        self,
        image: Any,
        options: AnonymizeOptions | None = None,
        *,
        faces: Sequence[Face | Box] | None = None,
        people: Sequence[int] | None = None,
        looks: Sequence[Look | None] | None = None,
        corrections: Sequence[FaceCorrection] = (),
    ) -> PhotoPlan:
        """First step: detect the faces and prepare the model's inputs.

        Args:
            image: as in :meth:`__call__`, which also says what is raised.
            options: likewise.
            faces: likewise.
            people: for a video frame: the number of each face's synthetic person. None numbers them by size; who does not fit is exchanged.
            looks: the look for each of ``faces``, from :meth:`look_of`, which a person in a video keeps. None reads it from the photo.
            corrections: as in :meth:`__call__`; not together with ``people`` or ``looks``.
        """
        options = options or AnonymizeOptions()
        photo = load_photo(image)
        if faces is None:
            faces = self.detector(photo, min_face_size=options.min_face_size, min_score=options.min_score)
        found = [to_face(face, lambda box: fit_landmarks(self.detector, photo, box)) for face in faces]
        if not found and not corrections and options.on_no_face == "raise":
            raise NoFaceError("no face was found in the photo.")
        seed = secrets.randbits(62) if options.seed is None else int(options.seed)
        require_one_each(len(found), people, looks, corrected=bool(corrections))
        order = sorted(range(len(found)), key=lambda i: (-area_of(found[i].box), found[i].box))
        numbers = range(len(found)) if people is None else [people[i] for i in order]
        assigned = [Assignment(found[i], number, seed) for number, i in zip(numbers, order, strict=True)]
        if corrections:
            assigned = correct(assigned, corrections, lambda box: fit_landmarks(self.detector, photo, box), seed=seed, shape=photo.shape)
        # in a video a face would be one person in some frames and another one in others
        attempts = MAX_PEOPLE if people is None and options.geometry == "anonymous" else 1
        if looks is None:
            own = (options if one.look is None else replace(options, look=one.look) for one in assigned)
            ordered = [self.look_of(photo, one.face, chosen) for one, chosen in zip(assigned, own, strict=True)]
        else:
            ordered = [looks[i] for i in order]
        plans, planner = [], self._planner
        for one, look in zip(assigned, ordered, strict=True):
            others = [other.face for other in assigned if other is not one]
            draw = partial(planner.draw, one.seed, one.number, look)
            plans.append(planner.plan(photo, options, one.face, draw, attempts, reason=one.reason, others=others))
        return PhotoPlan(photo, options, seed, tuple(plans), in_video=people is not None)

    @property
    def _planner(self) -> FacePlanner:
        """For the model and image processor of now, either of which may be exchanged."""
        return FacePlanner(self.model, self.image_processor, self.shape_model, self.population)

    def look_of(self, photo: np.ndarray, face: Face, options: AnonymizeOptions) -> Look | None:
        """The group that a face's synthetic person is drawn from, see :meth:`.planning.FacePlanner.look_of`."""
        return self._planner.look_of(photo, face, options)

    def generate(self, inputs: Sequence[dict[str, torch.Tensor]]) -> list[np.ndarray | str]:
        """Second step: generate the synthetic faces.

        Args:
            inputs: ``plan.inputs`` of one photo, or of several concatenated.

        Returns:
            for each face (S, S, 3) float32 0..255, or the reason why there is none: a face that fails does not affect the others.

        Raises:
            ValueError: the model is in training mode.
        """
        _require_evaluation_mode(self.model)
        if len(inputs) > 1 and self.model.device.type != "cpu":
            try:
                return self._synthesize_by_size(inputs)
            except (RuntimeError, ValueError) as error:
                logger.warning("A batch of %d faces failed and is tried one by one: %s", len(inputs), error)
        # On a CPU a batch saves next to nothing, and sums are rounded differently in it: a face must not depend on the others.
        threads = torch.get_num_threads() if self._manage_threads and self.model.device.type == "cpu" else 1
        if threads == 1 or not inputs:
            return [self._synthesize_one(one) for one in inputs]
        with single_threaded_pool(min(threads, len(inputs)), "ganon-faces") as pool:
            return list(pool.map(self._synthesize_one, inputs))

    def _synthesize_by_size(self, inputs: Sequence[dict[str, torch.Tensor]]) -> list[np.ndarray | str]:
        """All faces of one size as a batch."""
        sizes = [one["pixel_values"].shape[-1] for one in inputs]
        results: list[np.ndarray | str] = [""] * len(inputs)
        for size in sorted(set(sizes)):
            numbers = [number for number, own in enumerate(sizes) if own == size]
            for number, image in zip(numbers, self._synthesize([inputs[number] for number in numbers]), strict=True):
                results[number] = image
        return results

    def _synthesize_one(self, inputs: dict[str, torch.Tensor]) -> np.ndarray | str:
        """One face, or the reason why there is none."""
        try:
            return self._synthesize([inputs])[0]
        except (RuntimeError, ValueError) as error:
            logger.error("The generator failed, the face is covered: %s", error)
            return f"the generator failed: {error}"

    @torch.inference_mode()
    def _synthesize(self, inputs: Sequence[dict[str, torch.Tensor]]) -> np.ndarray:
        """One batch -> (faces, S, S, 3) float32 0..255."""
        batch = {name: torch.cat([one[name] for one in inputs]).to(self.model.device) for name in inputs[0]}
        return self.image_processor.postprocess(self.model(**batch).images)

    def compose(self, plan: PhotoPlan, images: Sequence[np.ndarray | str]) -> AnonymizationResult:
        """Third step: like :meth:`paint`, with the result as a PIL image."""
        picture, reports = self.paint(plan, images)
        return AnonymizationResult(Image.fromarray(picture), reports, plan.seed)

    def paint(self, plan: PhotoPlan, images: Sequence[np.ndarray | str]) -> tuple[np.ndarray, tuple[FaceReport, ...]]:
        """Third step: composite the synthetic faces into the photo, or cover faces.

        Args:
            plan: from :meth:`plan`.
            images: from :meth:`generate`, for the faces of ``plan.inputs``.

        Returns:
            (height, width, 3) uint8 RGB, and a report for each face.

        Raises:
            ValueError: the number of images does not match the number of faces to replace.
        """
        if len(images) != len(plan.inputs):
            raise ValueError(f"{len(plan.inputs)} synthetic faces are needed for this photo, but got {len(images)}.")
        canvas, left = plan.photo.copy(), iter(images)
        reasons: list[str] = []
        synthetic: list[np.ndarray | None] = []
        for face in plan.faces:
            image = face.reason if face.inputs is None else next(left)
            reasons.append(image if isinstance(image, str) else "")
            synthetic.append(None if isinstance(image, str) else self._apply_skin_tone(image, face, plan.options))
        kept = self._place(plan, synthetic, reasons, canvas)
        reports = [
            FaceReport(
                one.face.box,
                one.face.score,
                "replaced" if not reason else "doubtful" if one.face.doubtful else "covered",
                reason,
                "" if reason else str(one.identity.look),
                () if reason else names,
            )
            for one, reason, names in zip(plan.faces, reasons, kept, strict=True)
        ]
        if plan.options.output == "crop":
            shown = (None if why else made for made, why in zip(synthetic, reasons, strict=True))
            squares = list(map(self._synthetic_on_black, plan.faces, shown))
            canvas = np.concatenate(squares, axis=1) if squares else np.zeros((self.model.config.image_size,) * 2 + (3,), np.uint8)
        return canvas, tuple(reports)

    def _place(self, plan: PhotoPlan, synthetic: list[np.ndarray | None], reasons: list[str], canvas: np.ndarray) -> list[tuple[str, ...]]:
        """Cover and composite so that neither undoes the other; fills in reasons of further covers, returns what each face keeps."""
        covers = Covers(canvas, plan.options.cover)
        kept: list[tuple[str, ...]] = [()] * len(plan.faces)
        for number in (number for number, image in enumerate(synthetic) if image is None):
            covers.add(plan.faces[number].face)
        # In a video many covers are guesses, and a face that was seen must not be covered now and then.
        for number, face in enumerate(plan.faces if plan.options.output == "photo" and not plan.in_video else ()):
            if synthetic[number] is not None and covers.are_under(face.face):
                synthetic[number], reasons[number] = None, "it lies on a face that is covered"
                covers.add(face.face)
        # from back to front: smaller faces are mostly further away
        for number in reversed(range(len(plan.faces))):
            if (image := synthetic[number]) is not None:
                reasons[number], kept[number] = self._composite(plan, number, image, canvas, covers)
                if reasons[number]:
                    covers.add(plan.faces[number].face)
        if plan.options.output == "photo":
            replaced = [face for face, reason in zip(plan.faces, reasons, strict=True) if not reason]
            covers.renew([face.crop.to_photo(face.points) for face in replaced if face.crop is not None and face.points is not None])
        return kept

    def _apply_skin_tone(self, image: np.ndarray, plan: FacePlan, options: AnonymizeOptions) -> np.ndarray:
        """The synthetic face in the synthetic person's own skin tone, with ``skin_tone="random"``."""
        prior = self.model.prior
        if options.skin_tone == "match" or prior is None or plan.grayscale or plan.inputs is None or plan.points is None:
            return image
        return self._skin_painter.paint(image, plan.inputs["pixel_values"][0].numpy(), plan.points, plan.identity.tone)

    @cached_property
    def _skin_painter(self) -> SkinPainter:
        prior = copy.deepcopy(self.model.prior).cpu().float()  # type: ignore[union-attr]  # used only where there is one
        with torch.no_grad():
            luma, chroma = prior(prior.shape_mean.view(1, -1, 3), torch.zeros(1, 2), torch.zeros(1, len(prior.luma_appearance)))
        return SkinPainter.of(luma[0, 0].numpy(), chroma[0].numpy())

    def _composite(
        self, plan: PhotoPlan, number: int, synthetic: np.ndarray, canvas: np.ndarray, covers: Covers
    ) -> tuple[str, tuple[str, ...]]:
        """Returns the reason why the face must be covered, empty where it was replaced; and what was kept in front of it."""
        face = plan.faces[number]
        if face.crop is None or face.points is None:
            return face.reason, ()
        try:
            if self.model.config.conditioning == "mesh":
                synthetic = smooth_outlines(continue_sides(synthetic, face.points), face.points, face.mouth.slit)
            if face.head_warp is not None:
                warp_head(canvas, face.head_warp)
            covered = covers.within(face.crop)
            occluders = self._occluders(plan, face, synthetic, canvas, covered)
            change = composite_face(
                canvas,
                synthetic,
                face.crop,
                face.points,
                match_tone=plan.options.skin_tone == "match",
                grayscale=face.grayscale,
                generator=np.random.default_rng([face.identity.grain_seed, number]),
                features=face.features,
                occluders=occluders,
                covered=covered,
                shade=self._shading.shade,
                look=face.identity.look,
            )
        except (*COMPOSITE_ERRORS, cv2.error) as error:  # the canvas still shows the original
            logger.error("A face could not be put back and is covered: %s", error)
            return f"the face could not be put back: {error}", ()
        reason = "" if change >= MIN_CHANGE else "the synthetic face did not change the picture"
        return reason, () if reason or occluders is None else occluders.names

    def _occluders(
        self, plan: PhotoPlan, face: FacePlan, synthetic: np.ndarray, canvas: np.ndarray, covered: np.ndarray | None
    ) -> Occluders | None:
        """What lies in front of a face; None where it is not looked for."""
        wanted = plan.options.keep_occluders and plan.options.output == "photo"
        if self.model.occluders is None or not wanted or face.crop is None or face.original is None:
            return None
        return read_occluders(self.model.occluders, canvas, face.crop, face.original, synthetic, covered)

    def _synthetic_on_black(self, plan: FacePlan, synthetic: np.ndarray | None) -> np.ndarray:
        """The paper's output: the synthetic face on black; a gray square where the face was covered."""
        if synthetic is None or plan.points is None:
            return np.full((self.model.config.image_size,) * 2 + (3,), 127, np.uint8)
        matte = face_matte(triangle_map(plan.points, self.model.config.image_size) >= 0)[..., None]
        return np.clip(np.round(synthetic * matte), 0, 255).astype(np.uint8)


def _require_evaluation_mode(model: GanonModel) -> None:
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode, in which dropout makes faces random: call model.eval() first.")


@torch.inference_mode()
def _call_unbatched(function: Callable[..., torch.Tensor], *values: Any) -> np.ndarray:
    """Call a function of batches with single vectors; a number counts as a vector of one."""
    return function(*(torch.from_numpy(np.atleast_1d(value)).float()[None] for value in values))[0].double().numpy()
