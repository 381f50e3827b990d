"""What the review's pages ask for and do: addresses below the token become calls of a session, its answers JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from ..image_files import printable
from .pictures import LARGE_SIDE, THUMBNAIL_SIDE, VIEW_SIDE, PictureCache
from .session import ReviewSession

_SIDES = {"thumbnail": THUMBNAIL_SIDE, "view": VIEW_SIDE, "large": LARGE_SIDE}
JPEG = "image/jpeg"
MAX_SUMMARIES = 200
Answer = tuple[bytes, str]  # content, and of what kind


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Routes(Protocol):
    """What a server serves."""

    @property
    def page(self) -> tuple[str, ...]:
        """Names of the files of the page, the HTML file among them."""

    def get(self, parts: list[str], query: Mapping[str, list[str]]) -> Answer:
        """What an address shows: its parts, and what stands behind the question mark. RefusedError where there is nothing."""

    def post(self, parts: list[str], body: Mapping[str, Any]) -> Answer:
        """What somebody does. RefusedError where there is no such action."""

    def close(self) -> None:
        """End threads."""


class PhotoRoutes:
    """The page that goes through the photos of a run."""

    page: tuple[str, ...] = ("index.html", "review.css", "common.js", "review.js", "faces.js")

    def __init__(self, session: ReviewSession) -> None:
        self.session, self._pictures = session, PictureCache()

    def get(self, parts: list[str], query: Mapping[str, list[str]]) -> Answer:
        """See :class:`Routes`."""
        session = self.session
        match parts:
            case ["api", "run"]:
                options = session.run.settings.options
                return as_json({"redo_problem": session.redo_problem, "out": printable(session.out), "seeded": options.seed is not None})
            case ["api", "list"]:
                return as_json({"numbers": session.numbers(query.get("filter", ["all"])[0]), "counts": session.counts()})
            case ["api", "counts"]:
                return as_json(session.counts())
            case ["api", "summaries"]:
                numbers = [number_of(text) for text in query.get("numbers", [""])[0].split(",")[:MAX_SUMMARIES]]
                return as_json([session.summary(number) for number in numbers])
            case ["api", "photo", number]:
                return as_json(session.details(number_of(number)))
            case ["result", size, number] if size in _SIDES:
                photo = session.photo(number_of(number))
                if not photo.written:
                    raise RefusedError(HTTPStatus.NOT_FOUND, "nothing was written for this photo.")
                return self._pictures.result(photo.target, session.out, _SIDES[size]), JPEG
            case ["original", size, number] if size in ("view", "large"):
                photo = session.photo(number_of(number))
                return self._pictures.original(photo.source, photo.root, _SIDES[size]), JPEG
        raise nothing_there()

    def post(self, parts: list[str], body: Mapping[str, Any]) -> Answer:
        """See :class:`Routes`."""
        session = self.session
        match parts:
            case ["api", "photo", number, "fine"] if isinstance(body.get("fine"), bool):
                session.set_fine(number_of(number), body["fine"])
            case ["api", "photo", number, "corrections"]:
                session.set_corrections(number_of(number), body.get("corrections"))
            case ["api", "photo", number, "redo"]:
                session.redo(number_of(number))
            case _:
                raise no_action()
        return as_json(session.details(number_of(number)))

    def close(self) -> None:
        """See :class:`Routes`."""
        self._pictures.close()


def as_json(value: Any) -> Answer:
    """A value as an answer."""
    return json.dumps(value).encode(), "application/json"


def number_of(text: str) -> int:
    """A number in an address; RefusedError where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise nothing_there()
    return int(text)


def nothing_there() -> RefusedError:
    """For an address that shows nothing."""
    return RefusedError(HTTPStatus.NOT_FOUND, "there is no such page.")


def no_action() -> RefusedError:
    """For an address that does nothing."""
    return RefusedError(HTTPStatus.NOT_FOUND, "there is no such action.")
