"""Where is looked: views without gaps, cuts of the right pixels, one box per face."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.detection_tiles import Levels, View, cut_out, face_patch, has_content, merge, plan_views


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (100, 3000), (212, 212), (213, 500), (1, 1), (5000, 7000)])
@pytest.mark.parametrize("min_face_size", [8, 24, 96, 4096])
def test_views_leave_no_gap(height: int, width: int, min_face_size: int) -> None:
    views = plan_views(height=height, width=width, min_face_size=min_face_size, tile_per_face=212 / 24)
    assert views[0] == View((0, 0, width, height), whole=True)
    for side in {view.width for view in views if not view.whole}:
        tiles = [view.box for view in views if not view.whole and view.width == side]
        for low, high, length in ((0, 2, width), (1, 3, height)):
            spans = sorted({(box[low], box[high]) for box in tiles})
            assert spans[0][0] <= 0 and spans[-1][1] >= length
            assert all(b[0] <= a[1] - 0.15 * side for a, b in zip(spans, spans[1:], strict=False))


def test_larger_smallest_face_means_fewer_views() -> None:
    counts = [len(plan_views(height=1080, width=1920, min_face_size=size, tile_per_face=212 / 24)) for size in (12, 24, 48, 96, 400)]
    assert counts == sorted(counts, reverse=True) and counts[-1] == 2


def test_view_of_one_color_is_empty_and_one_pixel_fills_it() -> None:
    photo = np.full((300, 300, 3), 7, np.uint8)
    assert not has_content(photo, View((50, 50, 250, 250)))
    photo[101, 103, 2] = 8
    assert has_content(photo, View((50, 50, 250, 250)))
    assert not has_content(photo, View((110, 110, 500, 500)))


def test_cut_out_mirrors_beyond_the_frame() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    view = cut_out(Levels(photo), View((-10, -5, 30, 35)), size=(40, 40))
    assert view.shape == (40, 40, 3)
    assert np.array_equal(view[5:, 10:], photo[:35, :30]) and np.array_equal(view[5:, 9], photo[:35, 1])
    whole = View((0, 0, 60, 40), whole=True)
    assert whole.size(30) == (30, 20) and cut_out(Levels(photo), whole, size=(30, 20)).shape == (20, 30, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 999), (999, 1), (2, 3), (7, 5), (601, 799)])
@pytest.mark.parametrize("size", [(192, 192), (128, 64), (1, 1), (3, 2)])
def test_cut_out_has_the_size_asked_for(height: int, width: int, size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    boxes = [(0, 0, width, height), (-3, -5, width + 3, height + 2), (width - 1, height - 1, width + 9, height + 9)]
    for box in boxes:
        assert cut_out(Levels(photo), View(box), size=size).shape == (size[1], size[0], 3)


def test_levels_are_means_and_no_smaller_than_asked_for() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (101, 203, 3), np.uint8)
    levels = Levels(photo)
    assert [levels.at(scale)[1] for scale in (3.0, 1.0, 0.6, 0.5, 0.3, 0.25, 0.1, 0.001)] == [1, 1, 1, 2, 2, 4, 8, 64]
    quarter, step = levels.at(0.25)
    assert step == 4 and quarter.shape == (25, 50, 3) and levels.at(1.0)[0] is photo
    means = photo[:100, :200].reshape(25, 4, 50, 4, 3).mean(axis=(1, 3))
    assert np.abs(quarter - means).max() <= 1.0  # rounded twice
    one, step = Levels(photo[:1, :1]).at(0.01)
    assert step == 1 and np.array_equal(one, photo[:1, :1])


def test_patch_and_matrix_agree() -> None:
    yy, xx = np.mgrid[:200, :200]
    photo = np.stack([xx, yy, np.zeros_like(xx)], axis=2).astype(np.uint8)  # a pixel says where it is
    patch, matrix = face_patch(Levels(photo), (100, 90), 80, 0.5, 64)
    for x, y in ((10, 10), (32, 40), (60, 5)):
        expected = matrix @ (x + 0.5, y + 0.5, 1) - 0.5
        assert np.abs(patch[y, x, :2] - expected).max() <= 1.5
    small, matrix = face_patch(Levels(photo), (100, 90), 160, 0.5, 16)  # ten photo pixels are one: read from the eighths
    for x, y in ((4, 4), (8, 9), (11, 6)):
        assert np.abs(small[y, x, :2] - (matrix @ (x + 0.5, y + 0.5, 1) - 0.5)).max() <= 1.5
    assert face_patch(Levels(photo), (900, 900), 80, 0.0, 64)[0].max() == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "truncated", "kept", "reason"),
    [
        ([(0, 0, 10, 10), (1, 0, 11, 10)], [0.5, 0.9], [0, 0], [1], "one face, the surer box"),
        ([(0, 0, 10, 10), (1, 0, 11, 10)], [0.5, 0.9], [0, 1], [0], "a whole box beats half a face"),
        ([(0, 0, 10, 10), (20, 0, 30, 10)], [0.5, 0.9], [0, 0], [1, 0], "two faces"),
        ([(0, 0, 10, 10), (2, 2, 8, 8)], [0.9, 0.5], [0, 0], [0], "a part of the face"),
        ([(0, 0, 100, 100), (2, 2, 22, 22)], [0.9, 0.5], [0, 0], [0, 1], "a small face before a large one"),
    ],
)
def test_merge(boxes: list, scores: list, truncated: list, kept: list[int], reason: str) -> None:
    assert merge(np.array(boxes, float), np.array(scores), np.array(truncated, bool)) == kept, reason
