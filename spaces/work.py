"""What the app does with a photo: options, engine, pictures, texts. Nothing here knows about the page.

A photo that cannot be shown safely raises :class:`Refusal`, whose text is for visitors and contains no path of the server.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ganon_hf import (
    AnonymizationResult,
    AnonymizeOptions,
    Anonymizer,
    CorrectionError,
    FaceCorrection,
    NoFaceError,
    UnusableImageError,
)
from ganon_hf.image_files import picture_pixels, printable, read_image, save_image

HERE = Path(__file__).resolve().parent
MAX_PIXELS = 40_000_000  # of a photo, and of all that are worked on at a time
MAX_PHOTOS = 12
WEBCAM_SIDE = 480  # longer side of a webcam picture, in pixels
QUALITY = 95
# Rows of the report that the page shows: the beginnings of their names.
REPORT_ROWS = ("original", "ganon-hf", "blur", "mosaic", "solid cover")
# Titles of the pictures of what the generator sees.
GENERATOR_VIEW = ("The photo's landmarks: they can identify", "What the generator gets by default", "What it draws, before tone and light")
METRIC_TITLES = {
    "rank1": "named first",
    "linkage_rank1": "two anonymized photos linked",
    "geometry_rank1": "named first by landmarks alone",
}


class Refusal(Exception):
    """A photo was not anonymized; the message says why, in plain words."""


class NoFace(Refusal):
    """Because no face was found in it."""


@dataclass(frozen=True, eq=False)
class AnonymizedPhoto:
    """An anonymized photo.

    Attributes:
        before: the photo, upright, RGB.
        result: picture and a report for each face.
        options: with the seed that was used.
        corrections: what the visitor decided about single faces.
    """

    before: Image.Image
    result: AnonymizationResult
    options: AnonymizeOptions
    corrections: tuple[FaceCorrection, ...] = ()

    @property
    def num_left(self) -> int:
        """Faces that are left as they are: the report does not know them."""
        return sum(one.do == "leave" for one in self.corrections)


def new_seed() -> int:
    """A fresh person; small enough for a browser's numbers."""
    return secrets.randbits(31)


def open_engine() -> Anonymizer:
    """The engine with the model named by GANON_MODEL, or with the weights of the package; it has anonymized a photo already."""
    engine = Anonymizer.from_pretrained(os.environ.get("GANON_MODEL") or None)
    engine(HERE / "examples" / "portrait.jpg", AnonymizeOptions(seed=0))  # the first photo after a start takes seconds
    return engine


def make_options(seed: float | None, **choices: Any) -> AnonymizeOptions:
    """Options from the values of the page's controls; without a seed one is drawn.

    Raises:
        Refusal: a value that is no choice or out of range.
    """
    try:
        whole = new_seed() if seed is None else int(seed)
        numbers = {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in choices.items()}
        return AnonymizeOptions(seed=whole, **numbers)
    except (ValueError, OverflowError, TypeError) as error:
        raise Refusal(str(error)) from error


def read_photo(path: str) -> Image.Image:
    """An uploaded file -> upright RGB picture. Errors as of :func:`count_pixels`."""
    count_pixels(path)
    try:
        return read_image(path).image
    except UnusableImageError as error:
        raise _refusal(path, error) from error


def count_pixels(path: str) -> int:
    """Of an uploaded file, by its header.

    Raises:
        Refusal: it is too large for a small server, or no picture.
    """
    try:
        pixels = picture_pixels(path)
    except UnusableImageError as error:
        raise _refusal(path, error) from error
    if pixels > MAX_PIXELS:
        raise Refusal(f"This photo has {pixels / 1e6:.0f} million pixels. At most {MAX_PIXELS // 1_000_000} million are possible here.")
    return pixels


def _refusal(path: str, error: UnusableImageError) -> Refusal:
    if not os.path.exists(path):
        return _deleted()
    reason = str(error).removeprefix(f"{printable(path)}: ")
    return Refusal(f"This file cannot be read as a picture: it {reason}.")


def _deleted() -> Refusal:
    return Refusal("This photo has been deleted here already: uploads are kept for less than a minute. Please choose it again.")


class PixelRoom:
    """Bounds memory: photos that are worked on at a time have no more pixels together than one may have."""

    def __init__(self, limit: int = MAX_PIXELS) -> None:
        self._limit, self._taken, self._changed = limit, 0, threading.Condition()

    @contextmanager
    def photo(self, path: str) -> Iterator[Image.Image]:
        """An uploaded file as an upright RGB picture, once there is room for it.

        Raises:
            Refusal: it is too large for a small server, or no picture.
        """
        pixels = count_pixels(path)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + pixels <= self._limit)
            self._taken += pixels
        try:
            yield read_photo(path)
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


def anonymize(
    engine: Anonymizer,
    photo: Image.Image,
    options: AnonymizeOptions,
    corrections: Sequence[FaceCorrection] = (),
    progress: Callable[[float, str], None] = lambda share, step: None,
) -> AnonymizedPhoto:
    """One photo.

    Args:
        corrections: what the visitor decided about single faces.
        progress: called before each step with the share that is done and the step's name.

    Raises:
        Refusal: the photo was not anonymized.
    """
    try:
        result = _in_steps(engine, photo, options, corrections, progress)
    except NoFaceError as error:
        raise NoFace(
            "No face was found, so nothing was changed and nothing is shown. Faces that are very small, dark, turned away or occluded "
            "can be missed; a lower “Min face size” in the options finds more."
        ) from error
    except CorrectionError as error:
        raise Refusal(
            "With these options, other faces are found than those that you made decisions about, so nothing is shown. Press "
            "“Anonymize” to start over without these decisions."
        ) from error
    except UnusableImageError as error:
        raise Refusal(f"This photo cannot be used: {error}") from error
    return AnonymizedPhoto(photo.convert("RGB"), result, options, tuple(corrections))


def _in_steps(
    engine: Anonymizer,
    photo: Image.Image,
    options: AnonymizeOptions,
    corrections: Sequence[FaceCorrection],
    progress: Callable[[float, str], None],
) -> AnonymizationResult:
    """A function of its own, so that the plan, which holds a copy of the photo, is gone before the next copy is made."""
    progress(0.05, "Looking for faces")
    plan = engine.plan(photo, options, corrections=corrections)
    count = len(plan.faces)
    progress(0.5, f"Drawing {count} {'person' if count == 1 else 'people'}")
    drawn = engine.generate(plan.inputs)
    progress(0.8, "Putting them into the photo")
    return engine.compose(plan, drawn)


def before_and_after(done: AnonymizedPhoto) -> tuple[Image.Image, Image.Image]:
    """Two pictures of one size."""
    after = done.result.image
    return (done.before if done.before.size == after.size else ImageOps.pad(done.before, after.size)), after


def save(folder: Path, name: str, image: Image.Image) -> str:
    """Write a JPEG into a folder of its own below ``folder``, which is cleared by the app's server."""
    path = Path(tempfile.mkdtemp(dir=folder)) / f"{name}.jpg"
    save_image(image, path, quality=QUALITY, subsampling=0)
    return str(path)


def save_zip(folder: Path, pictures: Mapping[str, str]) -> str:
    """Put files of :func:`save` into one ZIP file under the names that they are given with."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "anonymized.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, file in pictures.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.jpg"), Path(file).read_bytes())
    return str(path)


def digest(path: str) -> str:
    """Of an uploaded file: which photo it is.

    Raises:
        Refusal: it has been deleted.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise _deleted() from error


def copy_example(folder: Path, name: str) -> str:
    """An example, as if it had been uploaded."""
    return shutil.copyfile(HERE / "examples" / name, Path(tempfile.mkdtemp(dir=folder)) / name).as_posix()


def start_sweeping(folder: Path, *, every: float, older_than: float) -> None:
    """Delete old files again and again, on a thread: Gradio deletes only what it knows of, and not uploads that broke off."""

    def run() -> None:
        while folder.is_dir():
            sweep(folder, older_than)
            time.sleep(every)

    threading.Thread(target=run, daemon=True, name="sweeper").start()


def sweep(folder: Path, older_than: float) -> None:
    """Delete files below a folder that appeared more than ``older_than`` seconds ago, and folders that have been empty for as long."""
    limit = time.time() - older_than
    for path in sorted(folder.rglob("*"), reverse=True):  # the contents of a folder before the folder
        try:
            if path.lstat().st_ctime < limit:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # not empty, or gone already
            continue


def counts(done: AnonymizedPhoto) -> str:
    """How many faces became what, in a sentence or two."""
    result, left = done.result, done.num_left
    found = len(result.faces) + left
    by_hand = sum(one.do == "cover" for one in done.corrections)
    parts = [f"{result.num_replaced} of {found} faces replaced" if found != 1 else "1 face found"]
    parts += ["replaced"] if found == 1 and result.num_replaced else []
    covered = result.num_covered - result.num_doubtful - by_hand
    parts += [f"{covered} covered, because they could not be replaced"] if covered else []
    parts += [f"{result.num_doubtful} covered, although there may be no face"] if result.num_doubtful else []
    parts += [f"{by_hand} covered by your choice"] if by_hand else []
    parts += [f"{left} left as {'it is' if left == 1 else 'they are'} by your choice"] if left else []
    warning = "" if not left else " Nobody here is anonymized." if left == found else " Who was left can be recognized."
    return f"{', '.join(parts)}.{warning}"


def summary(done: AnonymizedPhoto) -> str:
    """What was done, and what to do now."""
    return f"{counts(done)} Seed {done.options.seed}. Check the result before you use it: a face may have been missed."


def status(text: str, *, refused: bool = False, warned: bool = False) -> str:
    """A line that screen readers read out when it appears."""
    kind = "refused" if refused else "warned" if warned else "done"
    return f'<p role="{"status" if kind == "done" else "alert"}" class="{kind}">{html.escape(text)}</p>'


def table(caption: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML; everything is escaped. On a narrow screen each row folds into a list of its cells (``page.css``)."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(f'<td data-name="{html.escape(n)}"><span>{html.escape(c)}</span></td>' for n, c in zip(names, row, strict=True))
        + "</tr>"
        for row in rows
    )
    title = html.escape(caption)
    return f'<table class="folding"><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def what_the_generator_sees(engine: Anonymizer, photo: Image.Image, options: AnonymizeOptions) -> list[Image.Image]:
    """The largest face's landmarks, what the generator gets instead, and what it draws: square pictures as in ``GENERATOR_VIEW``."""
    inputs = []
    as_it_is = replace(options, geometry="original", privacy=AnonymizeOptions.privacy)  # a level of privacy belongs to the other geometry
    for own in (as_it_is, replace(options, geometry="anonymous")):
        try:
            face = engine.plan(photo, own).faces[0]
        except NoFaceError as error:
            raise Refusal("No face was found in this photo.") from error
        except UnusableImageError as error:
            raise Refusal(f"This photo cannot be used: {error}") from error
        if face.inputs is None:
            raise Refusal(f"The largest face is covered, not replaced: {face.reason}.")
        inputs.append(face.inputs)
    drawn = engine.generate(inputs[1:])[0]
    if isinstance(drawn, str):
        raise Refusal(f"The face is covered, not replaced: {drawn}.")
    landmarks = [draw_condition(one["pixel_values"][0].numpy()) for one in inputs]
    return [*landmarks, Image.fromarray(np.clip(np.round(drawn), 0, 255).astype(np.uint8))]


def draw_condition(values: np.ndarray) -> Image.Image:
    """The model's input as a picture: (4, S, S) u, v, mask, dots in [0, 1], or (3, S, S) dots in [-1, 1]."""
    if len(values) == 3:
        shown = (values.transpose(1, 2, 0) + 1) / 2
    else:
        u, v, mask, dots = values
        surface = np.stack([u, v, np.full_like(u, 0.5)], axis=2) * mask[..., None]
        shown = np.maximum(0.55 * surface, dots[..., None])
    return Image.fromarray(np.clip(np.round(shown * 255), 0, 255).astype(np.uint8))


def report_tables() -> str:
    """HTML: how often attackers name the person, from ``report.json`` beside the app, or a sentence where there is none."""
    path = Path(os.environ.get("GANON_REPORT") or HERE / "report.json")
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))["sets"]
        tables = [shown for title, part in sets.items() if (shown := _privacy_table(title, part["figures"]))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        tables = []
    return "".join(tables) or "<p><strong>Not measured</strong> for the weights that run here: there is no report.json next to the app.</p>"


def _privacy_table(title: str, figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    methods = [name for name in figures if name.startswith(REPORT_ROWS)]
    keys = list(dict.fromkeys(key for name in methods for key in figures[name] if key.rpartition("/")[2] in METRIC_TITLES))
    if not keys:
        return ""
    names = [METRIC_TITLES[key.rpartition("/")[2]] + (f" ({key.rpartition('/')[0]})" if "/" in key else "") for key in keys]
    rows = [[name, *(_share(figures[name].get(key)) for key in keys)] for name in methods]
    return table(title, ["photo", *names], rows)


def _share(estimate: Mapping[str, Any] | None) -> str:
    numbers = [] if estimate is None else [estimate.get(name) for name in ("value", "low", "high")]
    if len(numbers) != 3 or not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return "-"
    value, low, high = (f"{100 * number:.0f}" for number in numbers)
    return f"{value} % ({low} to {high})"
