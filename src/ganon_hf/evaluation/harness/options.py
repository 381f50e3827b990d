"""The options of an evaluation, told once: both command lines are generated from these fields. Importing this loads nothing heavy.

A field with ``help`` in its metadata is an option of the command line. Other keys: ``range``, the lowest and highest whole number;
``flag`` and ``metavar`` where the field's name does not do; ``parse`` for options that may be repeated, from one text to one value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

if TYPE_CHECKING:
    from ...core.options import AnonymizeOptions
    from ..metrics.recognition import Recognizer

Attack = Literal["seeds", "geometry", "parrot", "reconstruction", "emotion"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)
TRAINED_ATTACKS: tuple[Attack, ...] = ATTACKS[1:]  # those that need pictures of other people


def parse_engine_options(text: str) -> AnonymizeOptions:
    """``"geometry=original,min_score=0.4"`` -> options. A comma before which no new name begins belongs to the value: ``"look=woman, 30"``.

    Raises:
        ValueError: an unknown name, or a value that does not fit.
    """
    from ...core.options import AnonymizeOptions

    known: dict[str, Any] = {one.name: one.default for one in fields(AnonymizeOptions) if one.name not in ("seed", "output", "on_no_face")}
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip(" ,") for part in re.split(r",(?=\s*\w+\s*=)", text))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in known:
            raise ValueError(f"expected NAME=VALUE with a name of {', '.join(known)}, but got {part!r}.")
        values[name] = value if isinstance(known[name], str) else _parse_value(name, value, type(known[name]))
    return AnonymizeOptions(**values)


def _parse_value(name: str, value: str, kind: type) -> Any:
    if kind is bool and value in ("True", "False"):
        return value == "True"
    if kind is bool:
        raise ValueError(f"{name} must be True or False, but got {value!r}.")
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a number, but got {value!r}.") from error


def _default_engine_options() -> tuple[AnonymizeOptions, ...]:
    return tuple(map(parse_engine_options, ("", "look=random", "privacy=low", "privacy=high", "geometry=original")))


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What an evaluation does, and with which instruments.

    Attributes:
        engine_options: the engine's rows of the report; their seeds are ignored.
        recognizers: as for :func:`load_recognizer`, or recognizers themselves (picklable for several processes).
        attacks: from :data:`ATTACKS`; :data:`TRAINED_ATTACKS` need pictures of other people.
        draws: how often everything random is repeated with fresh seeds, 1 to 100.
        seed: from which the photos' seeds are drawn, 0 to 2**63 - 1.
        sheets: people to show side by side, 0 to 10,000.
        baselines: also blur, mosaic, solid cover, and the controls: somebody else's landmarks, unchanged pixels alone.
        repeats: bootstrap resamples, 0 (no intervals) to 100,000.
        attack_pictures: training pictures of the landmark attack; None: all.
        exposed_pictures: training pictures of parrot and reconstruction, which anonymize them; None: all.
        processes: worker processes, 1 to 256; None: one per core.
        model: folder or Hub name of the weights; None takes the bundled ones.
        device: where the generator runs.
        age_sex_models: folder of the networks of :class:`AgeSexJudge`, for the control "another real person of the same look" and for
            what is guessed from the outputs; None leaves both out.

    Raises:
        ValueError: a value out of its range.
    """

    engine_options: tuple[AnonymizeOptions, ...] = field(
        default_factory=_default_engine_options,
        metadata={
            "help": "A report row with these options, in place of the default rows; may be repeated.",
            "flag": "--with",
            "metavar": "NAME=VALUE,...",
            "parse": parse_engine_options,
        },
    )
    recognizers: tuple[str | Recognizer, ...] = field(
        default=("dlib",),
        metadata={
            "help": "Face recognizer: dlib, a network that takes ArcFace crops, or your own; may be repeated. Default: dlib.",
            "flag": "--recognizer",
            "metavar": "dlib|FILE.onnx|MODULE:NAME",
            "parse": str,
        },
    )
    attacks: tuple[Attack, ...] = field(default=ATTACKS, metadata={"help": f"The slow parts to run: {', '.join(ATTACKS)}."})
    draws: int = field(default=1, metadata={"help": "Repeat everything random this many times, with fresh seeds.", "range": (1, 100)})
    seed: int = field(default=0, metadata={"help": "Seed from which the seeds of the photos are drawn.", "range": (0, 2**63 - 1)})
    sheets: int = field(default=8, metadata={"help": "People to show on the sheets.", "range": (0, 10_000)})
    baselines: bool = field(
        default=True,
        metadata={"help": "Also measure blur, mosaic, solid cover, and the controls: somebody else's landmarks, unchanged pixels alone."},
    )
    repeats: int = field(default=1000, metadata={"help": "Bootstrap resamples.", "range": (0, 100_000)})
    attack_pictures: int | None = field(default=3000, metadata={"help": "Training images for the landmark attack."})
    exposed_pictures: int | None = field(
        default=1500, metadata={"help": "Images that the parrot and reconstruction attacks anonymize and train on."}
    )
    processes: int | None = field(default=None, metadata={"help": "Worker processes. Default: one per core.", "range": (1, 256)})
    model: str | None = field(default=None, metadata={"help": "Folder or Hub name of another model. Default: the one in the package."})
    device: str | None = field(default=None, metadata={"help": "Where the generator runs: cpu, cuda, cuda:1, mps."})
    age_sex_models: str | None = field(
        default=None,
        metadata={
            "help": "Folder from scripts/maintain/fetch_evaluation_models.py: adds the control 'another real person of the same look', "
            "and whether sex, age group and skin tone can be inferred from the outputs."
        },
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.attacks if name not in ATTACKS]
        if unknown:
            raise ValueError(f"attacks must be among {', '.join(ATTACKS)}, but got {unknown[0]!r}.")
        for one in fields(self):
            value = getattr(self, one.name)
            if "range" not in one.metadata or (value is None and one.default is None):
                continue
            low, high = one.metadata["range"]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{one.name} must be a whole number from {low} to {high}, but got {value!r}.")
        if len({replace(options, seed=None) for options in self.engine_options}) < max(len(self.engine_options), 1):
            raise ValueError("engine_options must be one or more, and all different.")

    @classmethod
    def from_command_line(cls, values: Mapping[str, Any]) -> EvaluationOptions:
        """Options from what a command line collected.

        Args:
            values: name of a field -> value; lists of texts for options that may be repeated. None and empty lists of those mean the
                default; other names are ignored.

        Raises:
            ValueError: a text or value that does not fit.
        """
        given: dict[str, Any] = {}
        for one in fields(cls):
            value, parse = values.get(one.name), one.metadata.get("parse")
            if value is None or (parse is not None and not value):
                continue
            given[one.name] = tuple(map(parse, value)) if parse is not None else tuple(value) if isinstance(value, list) else value
        return cls(**given)


def command_line_fields() -> list[tuple[Field[Any], Any]]:
    """The options of the command line in order: field, and type of one value of it (None for an optional one taken off)."""
    types = get_type_hints(EvaluationOptions, localns={"AnonymizeOptions": Any, "Recognizer": Any})
    result = []
    for one in fields(EvaluationOptions):
        if "help" in one.metadata:
            plain = [kind for kind in get_args(types[one.name]) if kind is not type(None)]
            kind = str if "parse" in one.metadata or one.name == "attacks" else plain[0] if plain else types[one.name]
            result.append((one, kind))
    return result
