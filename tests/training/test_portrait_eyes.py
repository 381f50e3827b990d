"""Eyes of portraits: the white is the prior's, irises are round, and mouths keep no tint of the portrait's skin in the dark."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_model

from ganon_hf.core.landmarks import iris_texels
from ganon_hf.core.modeling_ganon import enlarge
from ganon_hf.training.portrait_eyes import clean_eyes, color_irises, eyeball_mask
from ganon_hf.training.portrait_mouths import in_tone
from ganon_hf.training.portraits import seen_from_the_front

SIZE = 256
PATCHES = iris_texels(SIZE)


def portraits(count: int = 3) -> tuple[np.ndarray, ...]:
    """Gray faces with irises of 60 and pupils of 20, over a prior with whites of 180; all of it is seen."""
    luma = np.full((count, SIZE, SIZE), 120.0, np.float32)
    for rows, columns, local in PATCHES:
        radius = np.linalg.norm(local, axis=1)
        luma[:, rows, columns] = np.where(radius < 0.4, 20, np.where(radius < 1, 60, 180))
    chroma = np.random.default_rng(0).normal(0, 3, (count, 2, SIZE // 2, SIZE // 2)).astype(np.float32)
    return luma, chroma, np.full_like(luma, 180.0), np.ones_like(luma)


def on_iris(luma: np.ndarray, low: float, high: float, eye: int = 0) -> np.ndarray:
    """(n, m) texels of an iris between two radii."""
    rows, columns, local = PATCHES[eye]
    radius = np.linalg.norm(local, axis=1)
    chosen = (radius >= low) & (radius < high)
    return luma[:, rows[chosen], columns[chosen]]


def test_the_iris_of_the_portrait_does_not_stay_in_its_eyeball() -> None:
    luma, chroma, predicted, trust = portraits()
    mask = eyeball_mask(SIZE)
    luma[:, mask > 0] = 20  # an iris that fills the eye
    clean, tint = clean_eyes(luma, chroma, predicted, trust)
    assert np.abs(clean - predicted)[:, mask > 0.99].max() < 2
    assert np.abs(tint)[..., mask[::2, ::2] > 0.99].max() < 1
    patches = np.zeros((SIZE, SIZE), bool)
    for rows, columns, _ in PATCHES:
        patches[rows, columns] = True
    elsewhere = (mask == 0) & ~patches
    assert elsewhere.mean() > 0.9 and np.array_equal(clean[:, elsewhere], luma[:, elsewhere]), "nothing else changes"


def test_an_iris_that_a_lid_covers_becomes_round() -> None:
    luma, chroma, predicted, trust = portraits()
    for rows, columns, local in PATCHES:
        hidden = local[:, 1] < -0.1
        luma[:, rows[hidden], columns[hidden]] = 150  # the lid
        trust[:, rows[hidden], columns[hidden]] = 0
    clean, _ = clean_eyes(luma, chroma, predicted, trust)
    for rows, columns, local in PATCHES:
        radius = np.linalg.norm(local, axis=1)
        above, below = (
            clean[:, rows[part], columns[part]] for part in ((radius > 0.6) & (radius < 0.9) & (np.sign(local[:, 1]) == s) for s in (-1, 1))
        )
        assert above.mean() == pytest.approx(below.mean(), abs=12) and below.mean() < 80
    assert on_iris(clean, 0, 0.2).mean() < on_iris(clean, 0.6, 0.9).mean() - 15, "the pupil stays"
    assert on_iris(clean, 1.15, 1.3).min() == pytest.approx(180, abs=2), "beyond it is white"


def test_both_eyes_have_their_catch_light_on_the_same_side() -> None:
    clean, _ = clean_eyes(*portraits())
    places = []
    for rows, columns, local in PATCHES:
        inside = np.linalg.norm(local, axis=1) < 0.8
        brightest = clean[0, rows[inside], columns[inside]].argmax()
        places.append(local[inside][brightest])
    assert all(place[0] < 0 and place[1] < 0 for place in places), places


def test_eyes_that_are_shut_get_the_irises_of_others() -> None:
    luma, chroma, predicted, trust = portraits()
    for rows, columns, _ in PATCHES:
        luma[2, rows, columns], trust[2, rows, columns] = 140, 0
    clean, _ = clean_eyes(luma, chroma, predicted, trust)
    assert np.abs(clean[2] - clean[0])[PATCHES[0][0], PATCHES[0][1]].max() < 25
    nobody, _ = clean_eyes(luma[2:], chroma[2:], predicted[2:], trust[2:])
    assert np.isfinite(nobody).all()


def test_the_sides_of_the_head_are_not_trusted() -> None:
    seen = seen_from_the_front(SIZE)
    assert seen[100:180, 110:146].min() > 0.99 and seen[100:170, 14:26].max() < 0.2
    assert np.abs(seen - seen[:, ::-1]).max() < 0.1


def test_a_dark_mouth_takes_no_color_from_the_skin_around_it() -> None:
    orange, relative = np.array([[-30.0, 25.0]]), np.array([30.0, -25.0])
    chroma = np.zeros((1, 2, SIZE // 2, SIZE // 2), np.float32) + relative[:, None, None]  # gray, relative to orange skin
    dark, bright = (in_tone(chroma, np.full((1, SIZE, SIZE), level, np.float32), orange, np.array([-12.0, 15.0])) for level in (5, 200))
    assert np.abs(dark).max() < 2, "with the tone exchanged it would be blue"
    assert bright[0, :, 0, 0] == pytest.approx([18, -10], abs=0.1)


def test_irises_have_one_color_and_their_rims_that_of_the_white() -> None:
    model = tiny_model(people_texture_size=SIZE, mouth_box=(80, 176, 96, 48))
    people, prior = model.people, model.prior
    assert people is not None and prior is not None
    with torch.no_grad():
        prior.chroma.zero_()
        prior.chroma[0] = 9.0  # the color of skin everywhere
        people.broad.zero_()
    half = SIZE // 2
    people.chroma.zero_()
    people.chroma[:, 1, eyeball_mask(SIZE)[::2, ::2] > 0] = -30
    lids = [(rows[local[:, 1] < -0.2], columns[local[:, 1] < -0.2]) for rows, columns, local in iris_texels(half)]
    for rows, columns in lids:
        people.chroma[:, 1, rows, columns] = 50
    before = people.chroma.clone()
    color_irises(model, np.arange(len(people.luma)))
    total = enlarge(people.chroma.float() / 2, half)[:, 1].numpy() + 9
    for rows, columns, local in iris_texels(half):
        radius = np.linalg.norm(local, axis=1)
        rim, inner = total[:, rows[radius > 1.15], columns[radius > 1.15]], radius < 0.8
        above, below = (total[:, rows[part], columns[part]].mean() for part in (inner & (local[:, 1] < -0.3), inner & (local[:, 1] > 0.3)))
        assert np.abs(rim - (9 - 15)).max() < 1.5, "as the white, not as the skin"
        assert abs(above - below) < 1.5, "a lid leaves no color"
        before[:, :, rows, columns] = people.chroma[:, :, rows, columns]
    assert torch.equal(people.chroma, before), "nothing else changes"
