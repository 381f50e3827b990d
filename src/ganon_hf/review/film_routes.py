"""What the review's page of a film asks for and does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..video.reader import UnusableVideoError
from .film_session import FilmSession
from .routes import JPEG, Answer, as_json, no_action, nothing_there, number_of
from .session import ReviewError


class FilmRoutes:
    """The page that goes through the tracks of a film; see :class:`~.routes.Routes`."""

    page: tuple[str, ...] = ("film.html", "review.css", "film.css", "common.js", "film.js", "film_faces.js")

    def __init__(self, session: FilmSession) -> None:
        self.session = session

    def get(self, parts: list[str], query: Mapping[str, list[str]]) -> Answer:
        """See :class:`~.routes.Routes`."""
        try:
            return self._get(parts)
        except UnusableVideoError as error:
            raise ReviewError(str(error)) from error

    def _get(self, parts: list[str]) -> Answer:
        session = self.session
        match parts:
            case ["api", "film"]:
                return as_json(session.details())
            case ["api", "frame", number]:
                return as_json(session.frame(number_of(number)))
            case ["result", ("view" | "large") as size, number]:
                return session.picture(number_of(number), large=size == "large"), JPEG
            case ["strip", number]:
                return session.strip(_track_of(number)), JPEG
            case ["original", number]:
                return session.original(number_of(number)), JPEG
        raise nothing_there()

    def post(self, parts: list[str], body: Mapping[str, Any]) -> Answer:
        """See :class:`~.routes.Routes`."""
        session = self.session
        match parts:
            case ["api", "track", number, "fine"] if isinstance(body.get("fine"), bool):
                session.set_fine(_track_of(number), body["fine"])
            case ["api", "corrections"]:
                session.set_corrections(body.get("corrections"))
            case ["api", "redo"]:
                session.start_redo()
            case _:
                raise no_action()
        return as_json(session.details())

    def close(self) -> None:
        """See :class:`~.routes.Routes`."""


def _track_of(text: str) -> int:
    """The number of a track in an address; those that were drawn are below 0."""
    return -number_of(text[1:]) if text.startswith("-") else number_of(text)
