"""The transformers task ``"face-anonymization"``: a thin adapter around :class:`~.anonymizer.Anonymizer`."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import AutoModel
from transformers.pipelines.base import ChunkPipeline

from .anonymizer import Anonymizer
from .detection_tiled import FaceDetector
from .faces import AnonymizeOptions, Box, Face, require_options
from .image_loading import ITEM_ERRORS, each_item, is_single, photo_of_item
from .task import TASK

logger = logging.getLogger(__name__)


class FaceAnonymizationPipeline(ChunkPipeline):
    """``pipeline("face-anonymization")``: every face in a photo becomes a synthetic one, or is covered.

    Args:
        detector: finds faces; None builds MediaPipe's when it is first needed.
        kwargs: what every pipeline takes, and any field of :class:`~.faces.AnonymizeOptions` as a default for all calls.

    Raises:
        TypeError: an unknown option. ValueError: an option out of range, or a model and an image processor that do not fit.
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
        self.engine = Anonymizer(self.model, self.image_processor, detector)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *,
        faces: Sequence[Face | Box] | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
        **options: Any,
    ) -> Any:
        """Anonymize photos.

        Args:
            inputs: a path, URL, PIL picture or uint8 RGB array (height, width, 3); a list or tuple of them; or a generator, dataset or
                column of them, which is read as its results are asked for. Of a dataset's rows the column ``"image"`` is taken.
            faces: faces of a single photo found elsewhere, as ``Face`` or boxes (x_min, y_min, x_max, y_max); None searches.
            batch_size: how many faces, of one photo or several, go through the generator together. On a CPU it changes no pixel.
            num_workers: accepted and not used: MediaPipe does not survive a fork.
            options: fields of :class:`~.faces.AnonymizeOptions`.

        Returns:
            ``{"image": PIL picture, "faces": [{"box", "score", "status", "reason"}]}`` for one photo, a list of these for a list or tuple,
            an iterator for everything else. An item that is no usable picture gives ``{"image": None, "faces": [], "error": why}`` there.

        Raises:
            UnusableImageError: a single input that is no usable picture.
            NoFaceError: a single photo without a face under ``on_no_face="raise"``.
            TypeError: an unknown option. ValueError: an option out of range.
        """
        given, _, _ = self._sanitize_parameters(**options)
        parameters: dict[str, Any] = {"options": AnonymizeOptions(**{**self._preprocess_params, **given})}
        if num_workers or self._num_workers:
            logger.warning("num_workers is not used: MediaPipe does not survive a fork.")
        single = is_single(inputs)
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
        """Write weights, configs and the code that loads them, so that ``trust_remote_code=True`` needs no installed package.

        Args:
            save_directory: folder, made where it is missing.
            kwargs: passed on, for instance ``max_shard_size`` or ``push_to_hub``.
        """
        config, processor = self.model.config, self.image_processor
        kinds: dict[Any, str] = {type(config): "AutoConfig", type(self.model): "AutoModel", type(processor): "AutoImageProcessor"}
        before = {kind: kind._auto_class for kind in kinds}
        try:
            for kind, auto_class in kinds.items():
                kind.register_for_auto_class(auto_class)
            super().save_pretrained(save_directory, **kwargs)
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
        """One photo -> a chunk per face to replace; a photo without any, and an unusable item, give one chunk with no inputs."""
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
