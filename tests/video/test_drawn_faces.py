"""Following a box that was drawn, by what is in it: it moves and grows with the picture, and ends where that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tiny import KnownFaces

from ganon_hf.core.faces import Box, box_overlap
from ganon_hf.video.cuts import CutDetector
from ganon_hf.video.drawn_faces import follow_drawn, moved_box

WIDTH, HEIGHT, SIDE, COUNT = 320, 200, 60, 30
Place = Callable[[int], tuple[float, float, float] | None]  # frame -> center and size


def texture(seed: int, side: int) -> Image.Image:
    """Blotches, as a face has them, and not two the same."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)).point(lambda value: min(255, max(0, (value - 128) * 5 + 128)))


def film(place: Place, hidden: range = range(0), cut: int = COUNT) -> Iterator[np.ndarray]:
    """A square that moves over a background; ``hidden`` are frames in which something passes before it."""
    thing, backgrounds = texture(1, SIDE), [texture(seed, WIDTH).crop((0, 0, WIDTH, HEIGHT)) for seed in (2, 3)]
    for number in range(COUNT):
        picture = backgrounds[number >= cut].copy()
        where = place(number)
        if where is not None:
            x, y, size = where
            picture.paste(thing.resize((round(size), round(size))), (round(x - size / 2), round(y - size / 2)))
        if number in hidden:
            picture.paste((90, 90, 90), (0, 0, WIDTH, HEIGHT // 2 + 60))
        yield np.array(picture)


def box_at(where: tuple[float, float, float]) -> Box:
    x, y, size = where
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def follow(place: Place, start: int, **options: object) -> dict[int, Box]:
    where = place(start)
    assert where is not None
    (track,) = follow_drawn(
        film(place, **options),  # type: ignore[arg-type]
        [(start, box_at(where))],
        KnownFaces({}),
        is_cut=CutDetector(),
        max_bytes=10**9,
    )
    return {number: face.box for number, face in track.faces.items()}


PLACES: dict[str, Place] = {
    "still": lambda n: (100, 90, 60),
    "across": lambda n: (60 + 5 * n, 90, 60),
    "nearer": lambda n: (150, 100, 40 * 1.03**n),
    "there and back": lambda n: (160 + 70 * np.sin(n / 4), 100 + 20 * np.cos(n / 3), 60),
}


@pytest.mark.parametrize("row", PLACES)
def test_it_moves_and_grows_with_what_is_in_it(row: str) -> None:
    boxes = follow(PLACES[row], 14)
    assert sorted(boxes) == list(range(COUNT)), "both ways to the ends of the film"
    for number, box in boxes.items():
        where = PLACES[row](number)
        assert where is not None and box_overlap(box, np.array([box_at(where)]))[0][0] > 0.7, number


def test_it_ends_where_something_passes_before_it_and_at_cuts() -> None:
    place = PLACES["across"]
    assert sorted(follow(place, 14, hidden=range(20, 24))) == list(range(20))
    assert sorted(follow(place, 14, cut=18)) == list(range(18))
    assert sorted(follow(place, 20, cut=18)) == list(range(18, COUNT))


def test_it_ends_where_it_leaves_the_picture() -> None:
    boxes = follow(lambda n: (60 + 12 * n, 90, 60) if 60 + 12 * n < WIDTH + 40 else None, 10)
    assert 19 <= max(boxes) <= 23, "its middle is outside from frame 22 on"


def test_frames_that_are_kept_are_few() -> None:
    place, size = PLACES["still"], WIDTH * HEIGHT * 3
    tracks = follow_drawn(film(place), [(20, box_at((100, 90, 60)))], KnownFaces({}), is_cut=CutDetector(), max_bytes=6 * size)
    assert min(tracks[0].faces) == 20 - 6


def test_a_box_on_nothing_goes_nowhere() -> None:
    gray = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert moved_box(gray, gray, (40.0, 40.0, 90.0, 90.0)) is None


def test_a_film_that_ends_before_is_told() -> None:
    tracks = follow_drawn(film(PLACES["still"]), [(99, (10.0, 10.0, 60.0, 60.0))], KnownFaces({}), is_cut=CutDetector(), max_bytes=10**8)
    assert tracks[0].faces == {}
