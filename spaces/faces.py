"""What a visitor decides about single faces, and the cards by which the page shows faces. Nothing here knows about the page.

The browser keeps the decisions and sends them with every request: the server keeps nothing. They are therefore checked like any upload.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from PIL import Image

from ganon_hf import FaceCorrection, FaceReport
from work import AnonymizedPhoto, Refusal, new_seed

MAX_CARDS = 48  # of the largest faces; smaller ones of a crowd cannot be decided about one by one
THUMBNAIL = 112  # side in pixels
CHOICES = ("new", "cover", "leave", "undo")
WARNING = (
    "Everybody who sees the result can recognize this person. Only keep a face if that person agrees, or if it is not a face. "
    "The server cannot check this: you are responsible."
)
LEFT = "left as it is"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Decisions:
    """What was decided about the faces of one photo.

    Attributes:
        photo: digest of the uploaded file, so that no decision is applied to another photo.
        boxes: of the faces, in the order of their cards.
        corrections: one for each face about which something was decided.
    """

    photo: str
    boxes: tuple[Box, ...] = ()
    corrections: tuple[FaceCorrection, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "photo": self.photo,
            "boxes": [list(box) for box in self.boxes],
            "corrections": [correction.to_dict() for correction in self.corrections],
        }

    @classmethod
    def from_dict(cls, values: Any, photo: str) -> Decisions:
        """What :meth:`to_dict` gives, from an untrusted source; no decisions where it gives none.

        Raises:
            Refusal: the values belong to another photo, or are none that :meth:`to_dict` gives.
        """
        if not values:
            return cls(photo)
        try:
            if values["photo"] != photo:
                raise Refusal("These faces belong to another photo. Press “Anonymize” again.")
            boxes = tuple(FaceCorrection(box, "cover").box for box in values["boxes"][:MAX_CARDS])  # checks them
            return cls(photo, boxes, tuple(FaceCorrection.from_dict(one) for one in values["corrections"][:MAX_CARDS]))
        except (ValueError, TypeError, KeyError) as error:
            raise Refusal("The decisions about individual faces cannot be read. Choose the photo again.") from error

    def decide(self, number: Any, choice: Any) -> Decisions:
        """These and one more, which takes the place of an earlier one about the same face.

        Args:
            number: of the face's card, from 0; a number or its text.
            choice: ``"new"`` person, ``"cover"``, ``"leave"`` as it is, or ``"undo"`` what was decided.

        Raises:
            Refusal: there is no such face or choice.
        """
        numbers = [str(one) for one in range(len(self.boxes))]
        if str(number) not in numbers or choice not in CHOICES:
            raise Refusal("There is no such face or choice. Press “Anonymize” again.")
        box = self.boxes[numbers.index(str(number))]
        others = tuple(one for one in self.corrections if one.box != box)
        if choice == "undo":
            return replace(self, corrections=others)
        own = FaceCorrection(box, "replace", seed=new_seed()) if choice == "new" else FaceCorrection(box, choice)
        return replace(self, corrections=(*others, own))

    def without_people(self) -> Decisions:
        """The same without the people who were drawn for single faces: what is left as it is or covered stays so."""
        return replace(self, corrections=tuple(one for one in self.corrections if one.do != "replace"))


@dataclass(frozen=True)
class _Card:
    """A face of the photo: what was done with it, or None where it was left as it is, and its place among the report's faces."""

    box: Box
    report: FaceReport | None = None
    place: int = 0


def _cards_of(done: AnonymizedPhoto) -> list[_Card]:
    """Largest first, which is the engine's order, too: a face keeps its number whatever is decided about it."""
    cards = [_Card(face.box, face, place) for place, face in enumerate(done.result.faces)]
    cards += [_Card(one.box) for one in done.corrections if one.do == "leave"]
    return sorted(cards, key=lambda card: (-(card.box[2] - card.box[0]) * (card.box[3] - card.box[1]), card.box))


def decisions_after(done: AnonymizedPhoto, photo: str) -> Decisions:
    """What the browser is to send with the next request."""
    return Decisions(photo, tuple(card.box for card in _cards_of(done)[:MAX_CARDS]), tuple(done.corrections))


def face_cards(done: AnonymizedPhoto) -> str:
    """HTML: a card for each face with what was done and what can be done instead; below them the settings that did it."""
    cards = _cards_of(done)
    decided = {one.box: one for one in done.corrections}
    shown = "".join(_card_html(number, card, decided.get(card.box), done) for number, card in enumerate(cards[:MAX_CARDS]))
    more = len(cards) - MAX_CARDS
    rest = f"<p>{more} smaller faces are not listed, but they are included in the counts above.</p>" if more > 0 else ""
    return f'<h3>Faces, largest first</h3><div class="cards">{shown}</div>{rest}{_settings_html(done)}'


def _card_html(number: int, card: _Card, decided: FaceCorrection | None, done: AnonymizedPhoto) -> str:
    x_min, y_min, x_max, y_max = (round(value) for value in card.box)
    report, name = card.report, f"Face {number + 1}"
    status = LEFT if report is None else report.status
    facts = [] if report is None else _facts(report)
    facts += [f"own seed: {decided.seed}"] if decided is not None and decided.seed is not None else []
    facts.append(f"{x_max - x_min} x {y_max - y_min} pixels at {x_min}, {y_min}")
    told = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    picture = _thumbnail(card, done)
    image = f'<img alt="{name} in the result" src="{picture}">' if picture else ""
    return (
        f'<article class="card" data-status="{html.escape(status)}">{image}<div><h4>{name}: '
        f'<span class="state">{html.escape(status)}</span></h4><ul>{told}</ul></div>{_buttons_html(number, status, decided)}</article>'
    )


def _facts(report: FaceReport) -> list[str]:
    facts = [report.reason] if report.reason else []
    facts += [f"drawn as: {report.look}"] if report.look else []
    facts += [f"kept in front: {', '.join(report.kept)}"] if report.kept else []
    return [*facts, f"{100 * report.score:.0f} % sure that it is a face"]


def _buttons_html(number: int, status: str, decided: FaceCorrection | None) -> str:
    def button(choice: str, words: str) -> str:
        label = f"{words}: face {number + 1}"
        return f'<button type="button" data-face="{number}" data-choice="{choice}" aria-label="{label}">{words}</button>'

    shown = []
    if status != LEFT:
        shown.append(button("new", "New person" if status == "replaced" else "Try to replace"))
    if status == "replaced":
        shown.append(button("cover", "Cover"))
    if decided is not None:
        shown.append(button("undo", "Undo"))
    keep = "" if status == LEFT else _keep_html(number, button("leave", "Yes, keep this face as it is"))
    return f'<div class="choices">{"".join(shown)}</div>{keep}'


def _keep_html(number: int, confirm: str) -> str:
    """The confirmation opens first: one click shows no face."""
    return (
        f'<details class="keep"><summary aria-label="Keep face {number + 1} as it is: read the warning first">Keep this face as it is …'
        f'</summary><p class="warning">{html.escape(WARNING)}</p>{confirm}</details>'
    )


def _thumbnail(card: _Card, done: AnonymizedPhoto) -> str:
    """Data URI of the face in the result; empty where the result does not show it."""
    image = done.result.image
    if done.options.output == "crop":  # squares side by side, in the report's order
        if card.report is None:
            return ""
        area = (card.place * image.height, 0, (card.place + 1) * image.height, image.height)
    else:
        center_x, center_y = (card.box[0] + card.box[2]) / 2, (card.box[1] + card.box[3]) / 2
        half = 0.75 * max(card.box[2] - card.box[0], card.box[3] - card.box[1])
        area = (round(center_x - half), round(center_y - half), round(center_x + half), round(center_y + half))
    return data_uri(image.crop(area).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))


def data_uri(image: Image.Image) -> str:
    """A small picture that stands in the page itself: no file of it lies on the server."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _settings_html(done: AnonymizedPhoto) -> str:
    left_out = ("min_score", "on_no_face")
    values: Mapping[str, str] = {
        option.name.replace("_", " "): str(getattr(done.options, option.name))
        for option in fields(done.options)
        if option.name not in left_out
    }
    return f'<details class="settings"><summary>Settings of this result</summary>{definitions(list(values.items()))}</details>'


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """HTML list of names and values; everything is escaped."""
    return "<dl>" + "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in pairs) + "</dl>"
