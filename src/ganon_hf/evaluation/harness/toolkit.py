"""Engine and instruments, made from names and paths: detectors, blendshapes, recognizers. What is not installed is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...bulk.engine import quiet
from ...core.anonymizer import Anonymizer
from ...core.detection_search import YuNetDetector
from ..metrics.age_sex import AgeSexJudge
from ..metrics.blendshapes import BlendshapeReader
from ..metrics.recognition import DlibRecognizer, EmbeddingCache, FaceFinder, HogDetector, Recognizer, check_recognizer, load_recognizer
from .options import EvaluationOptions
from .pool import Tools
from .readings import Instruments


@dataclass(frozen=True)
class Toolkit:
    """Makes :class:`pool.Tools`, the same in every process.

    Attributes:
        model: folder or Hub name of the weights; None takes the bundled ones.
        recognizers: as for :func:`load_recognizer`, or recognizers themselves (picklable for several processes).
        second: also run dlib's HOG as a second detector.
        cache: folder of stored embeddings; None stores none.
        device: where the generator runs.
        age_sex_models: folder of the networks of :class:`AgeSexJudge`; None leaves the judge out.
    """

    model: str | None = None
    recognizers: tuple[str | Recognizer, ...] = ()
    second: bool = False
    cache: Path | None = None
    device: str | None = None
    age_sex_models: str | None = None

    @classmethod
    def from_options(cls, options: EvaluationOptions) -> Toolkit:
        """With the instruments that the options name, and a second detector."""
        return cls(options.model, options.recognizers, second=True, device=options.device, age_sex_models=options.age_sex_models)

    def load_recognizers(self) -> list[Recognizer]:
        """The recognizers, loaded or checked.

        Raises:
            ImportError, ValueError: one of them cannot be loaded, see :func:`load_recognizer`.
        """
        return [load_recognizer(r) if isinstance(r, str) else check_recognizer(r) for r in self.recognizers]

    def caches(self, recognizers: Sequence[Recognizer]) -> dict[str, EmbeddingCache]:
        """Name of a recognizer -> its stored embeddings; empty without a folder."""
        if self.cache is None:
            return {}
        return {r.name: EmbeddingCache(self.cache / f"embeddings-{re.sub(r'[^A-Za-z0-9_.-]+', '-', r.name)}.npz") for r in recognizers}

    def __call__(self) -> Tools:
        quiet()  # every process anew
        detector = YuNetDetector()
        engine = Anonymizer.from_pretrained(self.model, device=self.device, detector=detector)
        recognizers = self.load_recognizers()
        second: FaceFinder | None = None
        if self.second:
            second = next((r.detector for r in recognizers if isinstance(r, DlibRecognizer)), None) or HogDetector()
        judge = None if self.age_sex_models is None else AgeSexJudge(Path(self.age_sex_models))
        return Tools(engine, Instruments(detector, BlendshapeReader(), recognizers, second, self.caches(recognizers), age_sex=judge))


def available(kit: Toolkit) -> tuple[Toolkit, tuple[str, ...]]:
    """The toolkit without instruments that are not installed, and notes on those.

    Only dlib may be missing; any other recognizer must be there.

    Raises:
        ImportError, ValueError: such a recognizer cannot be loaded.
    """
    notes, recognizers, second = [], list(kit.recognizers), kit.second
    if second:
        try:
            HogDetector()
        except ImportError as error:
            second = False
            notes.append(f"second detector: {error}")
    if "dlib" in recognizers:
        try:
            DlibRecognizer()
        except ImportError as error:
            recognizers.remove("dlib")
            notes.append(f"recognizer dlib: {error}")
    left = replace(kit, recognizers=tuple(recognizers), second=second)
    left.load_recognizers()
    return left, tuple(notes)
