"""Somebody who is in the picture for a moment only, or never shows both eyes, through the real engine: no frame may show the face."""

from __future__ import annotations

from collections.abc import Callable

import films
import numpy as np
import pytest
from script_loading import load_script

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video import anonymize_frames

benchmark_video = load_script("benchmarks/video")
Path = Callable[[float], tuple[float, float, float, float] | None]


@pytest.fixture(scope="module")
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


def looks_in(t: float) -> tuple[float, float, float, float] | None:
    """Half a second above the lower edge, 50 pixels high: from frame 25 on, after one search for small faces and before the next."""
    return (0.4, 1.05 - 0.2 * np.sin(np.pi * (t - 0.83) / 0.5), 0.093, 0.0) if 0.83 <= t <= 1.33 else None


def flashes_up(t: float) -> tuple[float, float, float, float] | None:
    """Six frames, from frame 9 to 14; frames 7 and 15 are searched."""
    return (0.6, 0.5, 0.25, 0.0) if 0.29 < t < 0.48 else None


def walks_by(t: float) -> tuple[float, float, float, float] | None:
    """Close by, from right to left in 1.2 seconds, 300 pixels high."""
    return (1.25 - 1.5 * (t - 0.2) / 1.2, 0.5, 0.56, 0.0) if 0.2 <= t <= 1.4 else None


@pytest.mark.detection
@pytest.mark.parametrize(
    ("path", "in_profile"),
    [
        (flashes_up, False),
        pytest.param(looks_in, False, marks=pytest.mark.slow),
        pytest.param(walks_by, False, marks=pytest.mark.slow),
        pytest.param(walks_by, True, marks=pytest.mark.slow),
    ],
)
def test_who_passes_is_never_shown(path: Path, in_profile: bool, engine: Anonymizer) -> None:
    head = films.profile() if in_profile else None
    if in_profile and head is None:
        pytest.skip("no photos")
    film = films.passers(path, head)
    shown, seen = [], 0
    for one in anonymize_frames(film.frames(), AnonymizeOptions(seed=5), frame_rate=film.frame_rate, anonymizer=engine):
        place = path(one.index / film.frame_rate)
        if place is None or not (0 <= place[0] <= 1 and 0 <= place[1] <= 1):
            continue  # more than half of the face is outside
        seen += 1
        if (
            benchmark_video.correlation(film.frame(one.index), one.image, film.truth(one.index)["passer"])
            > benchmark_video.VISIBLE_CORRELATION
        ):
            shown.append(one.index)
    assert not shown and seen >= 6
