"""The transformers task ``"face-anonymization"``: a thin adapter around :class:`~.anonymizer.Anonymizer`."""

from __future__ import annotations

import functools
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from transformers import AutoModel
from transformers.pipelines.base import ChunkPipeline

from .anonymizer import Anonymizer
from .detection_files import FOLDER, SUMS, read_network, source_of
from .faces import Box, Face, FaceDetector
from .image_loading import ITEM_ERRORS, each_item, is_single, photo_of_item
from .options import (
    AnonymizeOptions,
    Cover,
    Geometry,
    OnNoFace,
    OutputKind,
    PrivacyLevel,
    SkinTone,
    reject_unknown_options,
    require_options,
)
from .task import TASK

logger = logging.getLogger(__name__)

Call = TypeVar("Call", bound=Callable[..., Any])


def _with_construction_defaults(call: Call) -> Call:
    """Decorator for ``__call__``: options that are not given take their values from the construction of the pipeline.

    Only a wrapper can tell an option that was left out from one that was given its default value.
    """

    @functools.wraps(call)
    def merged(self: FaceAnonymizationPipeline, *args: Any, **given: Any) -> Any:
        return call(self, *args, **{**self._preprocess_params, **given})

    return cast(Call, merged)


class FaceAnonymizationPipeline(ChunkPipeline):
    """``pipeline("face-anonymization")``: every face in a photo becomes a synthetic one, or is covered.

    Args:
        detector: finds faces; None builds a :class:`~.detection_search.YuNetDetector` when it is first needed.
        kwargs: the arguments of every pipeline, and any field of :class:`~.options.AnonymizeOptions` as the default for all calls.

    Raises:
        TypeError: an unknown option. ValueError: an option out of range, or a model and an image processor that do not match.
    """

    _registered_impl: dict[str, Any]
    model: Any
    image_processor: Any
    _load_image_processor: Any = True
    _load_processor: Any = False
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False
    _load_video_processor: Any = False

    def __init__(self, *args: Any, detector: FaceDetector | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._detector = detector
        self._engine: Anonymizer | None = Anonymizer(self.model, self.image_processor, detector)

    @property
    def engine(self) -> Anonymizer:
        """The engine around the model and image processor of this pipeline; made anew when one of them was exchanged."""
        if self._engine is None:
            self._engine = Anonymizer(self.model, self.image_processor, self._detector)
        return self._engine

    def __setattr__(self, name: str, value: Any) -> None:
        """An exchanged part takes effect: the engine around the old one goes, the detector that it has built stays."""
        engine = self.__dict__.get("_engine")
        if name in ("model", "image_processor") and engine is not None:
            self._detector, self._engine = engine._detector, None
        super().__setattr__(name, value)

    @_with_construction_defaults
    @reject_unknown_options
    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *,
        seed: int | None = None,
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
        faces: Sequence[Face | Box] | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
    ) -> Any:
        """Anonymize photos.

        Options that you do not pass have the values given at construction, or else the defaults shown here.

        Args:
            inputs: a path, URL, PIL image, RGB array (height, width, 3) or tensor (3, height, width), uint8 or float in [0, 1]; a list or
                tuple of them, or several arrays or tensors of one size as one; or a generator, dataset or column of them, which is read as
                its results are consumed. For dataset rows, the column ``"image"`` is used.
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
            faces: faces of a single photo that are already known, as ``Face`` or boxes (x_min, y_min, x_max, y_max); None detects them.
            batch_size: how many faces, of one photo or several, go through the generator together. On a CPU it changes no pixel.
            num_workers: accepted but not used: a photo's faces and tiles are already processed in parallel.

        Returns:
            ``{"image": PIL image, "faces": [{"box", "score", "status", "reason", "look", "kept"}], "seed": int}`` for one photo, a list
            of these for a list, tuple or batch, an iterator for everything else. Among several photos, one that is refused or
            unusable gives ``{"image": None, "faces": [], "error": why}``, and the rest are still processed.

        Raises:
            UnusableImageError: a single input that is not a usable image.
            NoFaceError: no face was found in a single photo, with ``on_no_face="raise"``.
            TypeError: an unknown option. ValueError: an option out of range.
        """
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
        parameters: dict[str, Any] = {"options": options}
        if num_workers or self._num_workers:
            logger.warning("num_workers is not used: a photo's faces and tiles are computed side by side already.")
        single = is_single(inputs)
        if hasattr(inputs, "ndim") and not single:
            inputs = list(inputs)
        if single:
            parameters["faces"] = faces
        elif faces is not None:
            raise ValueError("faces belongs to a single photo; call the pipeline once per photo.")
        parameters["strict"] = single
        size = batch_size if batch_size is not None else self._batch_size if self._batch_size is not None else 1
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"batch_size must be a positive integer, but got {size!r}.")
        results = self.get_iterator([inputs] if single else each_item(inputs), 0, size, parameters, {}, {})
        if single:
            return next(iter(results))
        return list(results) if isinstance(inputs, list | tuple) else results

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write weights, configs, the face detector and the code that loads them; ``trust_remote_code=True`` needs no installed package.

        Args:
            save_directory: folder; created if it does not exist.
            kwargs: passed on, for example ``max_shard_size``.

        Raises:
            OSError: the detector's networks are missing.
            ValueError: ``push_to_hub`` was passed, which would publish the folder before it is complete.
        """
        if kwargs.get("push_to_hub"):
            raise ValueError("push_to_hub is not supported here, because it uploads part by part. Save, then upload the folder: hf upload.")
        networks = {name: read_network(name, *source_of(self.model.config)) for name in SUMS}
        config, processor = self.model.config, self.image_processor
        kinds: dict[Any, str] = {type(config): "AutoConfig", type(self.model): "AutoModel", type(processor): "AutoImageProcessor"}
        before = {kind: kind._auto_class for kind in kinds}
        try:
            for kind, auto_class in kinds.items():
                kind.register_for_auto_class(auto_class)
            super().save_pretrained(save_directory, **kwargs)
            (Path(save_directory) / FOLDER).mkdir(exist_ok=True)
            for name, content in networks.items():
                (Path(save_directory) / FOLDER / name).write_bytes(content)
        finally:  # a part saved by itself later must not name code that does not lie beside it
            for kind, auto_class in before.items():
                kind._auto_class = auto_class
            for part, name in ((config, "custom_pipelines"), (config, "auto_map"), (processor, "auto_map")):
                part.__dict__.pop(name, None)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        require_options(options)
        AnonymizeOptions(**options)  # validates
        return options, {}, {}

    def preprocess(  # type: ignore[override]
        self, item: Any, *, options: AnonymizeOptions, faces: Sequence[Face | Box] | None = None, strict: bool = True
    ) -> Iterator[dict[str, Any]]:
        """One photo -> a chunk per face to replace; a photo without any, and an unusable item, give one chunk with no inputs.

        Args:
            item: one of the inputs of a call.
            options: of the call.
            faces: of a single photo, as in a call.
            strict: raise what is wrong with the item, instead of going on without it.
        """
        try:
            plan: Any = self.engine.plan(photo_of_item(item), options, faces=faces)
        except ITEM_ERRORS as error:
            if strict:
                raise
            logger.warning("An item was left out: %s", error)
            plan = f"{type(error).__name__}: {error}"
        inputs = [[one] for one in getattr(plan, "inputs", ())] or [[]]
        for number, one in enumerate(inputs, start=1):
            yield {"inputs": one, "plan": plan, "is_last": number == len(inputs)}

    def _forward(self, chunk: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        batched = isinstance(chunk["is_last"], list)  # collated: every value is a list with one entry per chunk
        groups = chunk["inputs"] if batched else [chunk["inputs"]]
        made = iter(self.engine.generate([one for group in groups for one in group]))
        images = [list(itertools.islice(made, len(group))) for group in groups]
        return {"images": images if batched else images[0], "plan": chunk["plan"], "is_last": chunk["is_last"]}

    def postprocess(self, chunks: list[dict[str, Any]]) -> dict[str, Any]:  # type: ignore[override]
        """All chunks of one photo -> its result."""
        plan = chunks[0]["plan"]
        if isinstance(plan, str):
            return {"image": None, "faces": [], "error": plan}
        return self.engine.compose(plan, [image for chunk in chunks for image in chunk["images"]]).to_dict()


# Read by save_pretrained. Without a default model: that would write a path of this machine into the exported config.
FaceAnonymizationPipeline._registered_impl = {TASK: {"impl": FaceAnonymizationPipeline, "pt": (AutoModel,), "type": "image"}}
