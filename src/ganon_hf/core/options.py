"""What a user can choose, defined once: command line, Space and docs are generated from the fields of :class:`AnonymizeOptions`.

Annotations are evaluated here (no ``from __future__``), because the types of the fields are read at run time. Only the standard library
is imported: ``ganon-hf --help`` reads this file.
"""
# ruff: noqa: I002

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from .look import check_look

Geometry = Literal["anonymous", "original"]
PrivacyLevel = Literal["low", "medium", "high"]
SkinTone = Literal["match", "random"]
OutputKind = Literal["photo", "crop"]
Cover = Literal["tone", "black"]
OnNoFace = Literal["raise", "keep"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but got {value!r}.")


def require_number(name: str, value: object, low: float, high: float, *, integer: bool = False, optional: bool = False) -> None:
    """Raise ValueError unless the value is a number from ``low`` to ``high``, or None where it is optional."""
    if optional and value is None:
        return
    is_number = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]  # numbers compare, whatever their class
        kind = f"{'None or ' if optional else ''}{'an integer' if integer else 'a number'}"
        raise ValueError(f"{name} must be {kind} from {low} to {high}, but got {value!r}.")


@dataclass(frozen=True)
class AnonymizeOptions:
    """What a user can choose. The names are the same in Python, on the command line and in the demo.

    The ``metadata`` of each field says what it does (``"help"``). For a number it also has the inclusive ``"range"``; for a text,
    ``"check"`` raises ValueError if the text is invalid.

    Examples:
        >>> AnonymizeOptions(seed=7, look="woman, 30").look
        'woman, 30'
        >>> AnonymizeOptions(privacy="none")
        Traceback (most recent call last):
        ValueError: privacy must be one of 'low', 'medium', 'high', but got 'none'.

    Raises:
        ValueError: a value is not one of the choices or is out of range, or ``privacy`` is given with ``geometry="original"``, where it
            has no effect.
    """

    seed: int | None = field(
        default=None,
        metadata={
            "help": "Determines the synthetic people: the same seed gives the same people. Default: new ones for every photo or video.",
            "range": (0, 2**63 - 1),
        },
    )
    geometry: Geometry = field(
        default="anonymous",
        metadata={
            "help": "`anonymous` replaces the face shape with a synthetic one; `original` keeps the shape, as in the paper: expressions "
            "are more accurate, but the shape can identify people."
        },
    )
    privacy: PrivacyLevel = field(
        default="medium",
        metadata={
            "help": "With geometry `anonymous`, how little of the original face shape is carried over: `low` preserves expressions best, "
            "`high` hides most."
        },
    )
    skin_tone: SkinTone = field(
        default="match",
        metadata={"help": "`match` takes the tone from the skin around the face, `random` from the synthetic person."},
    )
    look: str = field(
        default="match",
        metadata={
            "help": "The group that a synthetic person is drawn from: `match` estimates age, sex and beard from the face, in coarse "
            "classes; `random` draws anybody; a description such as `woman, 30` or `man, old, beard` sets the group by hand.",
            "check": check_look,
        },
    )
    output: OutputKind = field(
        default="photo",
        metadata={"help": "`photo` puts the synthetic faces back into the photo; `crop` returns only the faces, on black, side by side."},
    )
    cover: Cover = field(
        default="tone",
        metadata={
            "help": "Color of the cover over a face that cannot be replaced: `tone` is the mean of its surroundings, `black` is black."
        },
    )
    keep_occluders: bool = field(
        default=True,
        metadata={
            "help": "Keep what is in front of a face: masks, hands, hats, hair, sunglasses, microphones. Off: the whole face "
            "is painted over."
        },
    )
    min_face_size: int = field(
        default=24,
        metadata={
            "help": "Height in pixels of the smallest face to search for. Smaller values find more faces and take longer.",
            "range": (8, 4096),
        },
    )
    min_score: float = field(
        default=0.5,
        metadata={
            "help": "Detector confidence below which a face is ignored. Lower values miss fewer faces and give more false positives.",
            "range": (0, 1),
        },
    )
    on_no_face: OnNoFace = field(
        default="raise",
        metadata={
            "help": "What to do if no face is found, since one may have been missed: `raise` refuses the photo or video, `keep` returns it "
            "unchanged."
        },
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if choices := choices_of(option):
                require_choice(option.name, value, choices)
            elif option.type is bool:
                if not isinstance(value, bool):
                    raise ValueError(f"{option.name} must be True or False, but got {value!r}.")
            elif check := option.metadata.get("check"):
                check(value)
            else:
                types = get_args(option.type) or (option.type,)
                require_number(option.name, value, *option.metadata["range"], integer=int in types, optional=type(None) in types)
        if self.geometry == "original" and self.privacy != AnonymizeOptions.privacy:
            raise ValueError(
                f"privacy {self.privacy!r} has no effect with geometry 'original', which keeps the shape of the face as it is: "
                "leave one of the two out."
            )


def choices_of(option: Field[Any]) -> tuple[str, ...]:
    """The values that a field of :class:`AnonymizeOptions` can take; empty for numbers and texts."""
    return get_args(option.type) if get_origin(option.type) is Literal else ()


def require_options(names: Iterable[str]) -> None:
    """Raise TypeError if a name is not a field of :class:`AnonymizeOptions`."""
    known = [option.name for option in fields(AnonymizeOptions)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise TypeError(f"there is no option {', '.join(map(repr, unknown))}; the options are {', '.join(known)}.")


def reject_unknown_options(call: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator for a function that names the options as keywords: the TypeError about an unknown keyword lists the options."""
    known = inspect.signature(call).parameters

    @functools.wraps(call)
    def checked(*args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        require_options(name for name in keywords if name not in known)
        return call(*args, **keywords)

    return checked
