"""The bank of synthetic people that a generator draws from (``PeopleTextures`` in ``modeling_ganon.py``), made from portraits.

An entry of the bank is a blend of several people who look alike, so no portrait lies in the weights. Broad structure is their weighted
mean; detail comes from one or the other, region by region, with smooth borders and the variance restored where they overlap (as in
histogram-preserving blending, Heitz and Neyret 2018), so that skin does not become flat. Light is taken out: structure broader than about
a twentieth of the texture is made symmetric, and of what is particular to a portrait or to people who look alike only a part stays; finer
structure is symmetric in part. Folds and frowns are taken out, see ``calm_skin.py``.

The portraits should show people who do not exist: then the bank holds nobody's face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..core.face_mesh import (
    IRIS_PATCH_RADIUS,
    IRIS_PATCHES,
    IRIS_REACH,
    LEFT_EYE_CORNERS,
    MIRROR,
    MOUTH_START,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_START,
    UV_MAP,
)
from ..core.landmarks import texel_table
from ..core.look import AGES
from ..core.modeling_ganon import BROAD_SIZE, REGIONS_SIZE, GanonModel, PeopleTextures, enlarge
from ..core.opencv import cv2
from ..core.people import MAX_SHAPE
from .calm_skin import CalmSkin, filled_hulls
from .portrait_eyes import opening_mask
from .portrait_mouths import Mouths
from .portraits import BROAD, Portraits, blurred, half_size, split_bands

_ADULT = AGES.index("young")  # the first class of adults
# Of the broad structure in which a portrait differs from people who look alike, so much is kept: the rest is its light. Of what these
# share, children keep all, for it makes them children; adults the second share, for hard light is usual in portraits. Where a beard grows
# it is all for those who have one, and the third share for the rest, whose upper lips must not be dark. Both together are limited, in gray
# values; the second limit is that of beards.
_BROAD_SHARE, _COMMON_SHARE, _SHAVEN_SHARE, _BROAD_LIMIT, _BEARD_LIMIT = 0.45, 0.5, 0.1, 11.0, 60.0
# Share of the middle band that is made symmetric.
_SYMMETRIC_MIDDLE = 0.65
# The middle band and fine detail are multiplied by so much: then their energy in photos is that of real faces
# (scripts/benchmarks/compare_checkpoints.py).
_MIDDLE_CONTRAST, _FINE_CONTRAST = 0.88, 1.3
# Of the color in which a portrait differs from others, except of the irises, so much is kept; and people in fair light that their common
# color needs.
_TINT_SHARE, _MIN_FAIR = 0.4, 4
# Gloss belongs to the light of the portrait: on skin and lips, what is brighter than expected by more gray values than the first number
# keeps the second share of the rest.
_GLOSS, _GLOSS_SHARE = 12.0, 0.4
# Regions: standard deviation of the random masks as a share of the texture's side, and how decided they are.
_MASK_SCALE, _MASK_CONTRAST = 0.11, 4.5
# Where people overlap, the middle band is divided by no less than this: brows must not become double.
_MIN_MIDDLE_ENERGY = 0.75
# Trust of the best of them from which detail counts in full, and the standard deviation of its edge as a share of the texture's side.
_KNOWN, _KNOWN_BLUR = 0.5, 0.008
# Portraits that one person of the bank is blended from.
MEMBERS = 4
# Hulls of the regions of a face, and by which share of the texture's side they grow: eyes with brows, nose down to the nostrils, mouth with
# moustache and chin. The rest is skin.
_EYE = (46, 70, 63, 105, 66, 107, 55, 193, 245, 128, 121, 120, 119, 118, 117, 111, 35, 124)
_NOSE = (168, 193, 417, 129, 358, 47, 277, 48, 278, 64, 294, 102, 331, 98, 327, 2)
_LOWER = (164, 203, 423, 206, 426, 216, 436, 210, 430, 135, 364, 169, 394, 171, 396, 152, 148, 377, 176, 400, 149, 378, 150, 379)
_REGIONS = (((_EYE, tuple(int(i) for i in MIRROR[list(_EYE)])), 0.0), ((_NOSE,), 0.012), ((_LOWER,), 0.0))
_REGION_BLUR = 0.022


def _symmetric(values: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Mixed with its mirror image; a share of 1 is symmetric."""
    return (1 - share / 2) * values + share / 2 * values[..., ::-1]


@dataclass(frozen=True, eq=False)
class BankEntry:
    """One person of the bank: luma (T, T), chroma (2, T / 2, T / 2), coefficients of the shape (k,)."""

    luma: np.ndarray
    chroma: np.ndarray
    shape: np.ndarray


class Blender:
    """Blends portraits of people who look alike.

    Args:
        portraits: the people.
        looks: (n, 5) their classes, see ``people.look_classes``.
    """

    def __init__(self, portraits: Portraits, looks: np.ndarray):
        self._portraits, self._looks = portraits, looks
        size = portraits.luma.shape[-1]
        self._bands = []
        for luma, trust in zip(portraits.luma, portraits.trust, strict=True):
            broad, middle, fine = split_bands(luma, trust)
            self._bands.append((broad, _symmetric(middle, _SYMMETRIC_MIDDLE), fine))
        self._tint = []
        for chroma, trust in zip(portraits.chroma, portraits.trust, strict=True):
            weight = half_size(trust)
            broad = np.stack([blurred(c, weight, BROAD) for c in chroma])
            self._tint.append((broad, _symmetric(chroma - broad, _SYMMETRIC_MIDDLE)))
        self._eyes = iris_sources(size)
        rows, columns, owner, _ = texel_table(size)
        self._skin = np.zeros((size, size), np.float32)
        self._skin[rows, columns] = owner < MOUTH_START
        self._skin = cv2.GaussianBlur(self._skin, (0, 0), size / 256)
        iris = np.zeros((size // 2, size // 2), np.float32)
        for rows, columns, _ in iris_sources(size // 2):
            iris[rows, columns] = 1
        self._color = _TINT_SHARE + (1 - _TINT_SHARE) * iris
        self._calm_skin = CalmSkin(size)

    def blend(self, members: np.ndarray, cohort: np.ndarray, generator: np.random.Generator) -> BankEntry:
        """Blend some of the portraits.

        Args:
            members: indices of at least two portraits; the first one says age and beard.
            cohort: indices of all portraits that look like them; what these share is theirs and not the light.
            generator: chooses weights and regions.
        """
        size = self._portraits.luma.shape[-1]
        weights = generator.dirichlet(np.full(len(members), 2.0)).astype(np.float32)
        trust = self._portraits.trust[members]
        masks = self._masks(len(members), trust, generator)
        energy = np.sqrt((masks**2).sum(axis=0))
        local = weights[:, None, None] * (0.05 + trust)
        local /= local.sum(axis=0)
        common = self._common([self._bands[i][0] for i in cohort], self._portraits.trust[cohort])
        broad = sum(w * self._bands[i][0] for w, i in zip(local, members, strict=True)) - common
        restored = 1 / np.sqrt((weights**2).sum())
        # where none of them is to be trusted, at the sides of the head, the prior alone is seen
        known = cv2.GaussianBlur(np.clip(trust.max(axis=0) / _KNOWN, 0, 1), (0, 0), _KNOWN_BLUR * size)
        middle = known * sum(m * self._bands[i][1] for m, i in zip(masks, members, strict=True)) / np.maximum(energy, _MIN_MIDDLE_ENERGY)
        fine = known * sum(m * self._bands[i][2] for m, i in zip(masks, members, strict=True)) / energy
        age, beard = int(self._looks[members[0], 0]), bool(self._looks[members[0], 2])
        lower = self._calm_skin.beard
        share = 1.0 if age < _ADULT else _COMMON_SHARE + ((1.0 if beard else _SHAVEN_SHARE) - _COMMON_SHARE) * lower
        limit = _BROAD_LIMIT + beard * (_BEARD_LIMIT - _BROAD_LIMIT) * lower
        broad = share * common + _BROAD_SHARE * restored * _symmetric(broad)
        luma = limit * np.tanh(broad / limit) + self._calm_skin.calm(_MIDDLE_CONTRAST * middle, _FINE_CONTRAST * fine, age, beard)
        luma -= self._skin * (1 - _GLOSS_SHARE) * np.maximum(luma - _GLOSS, 0)
        half_masks = np.stack([cv2.resize(m, (size // 2, size // 2), interpolation=cv2.INTER_AREA) for m in masks])
        # the broad color is that of people who look alike in fair light, or of everybody: lips redder than skin, not the tint of a lamp
        fair = [i for i in cohort if self._portraits.fair[i]]
        fair = fair if len(fair) >= _MIN_FAIR else np.flatnonzero(self._portraits.fair).tolist() or cohort.tolist()
        half_trust = np.stack([half_size(self._portraits.trust[i]) for i in fair])
        tint = np.stack([self._common([self._tint[i][0][c] for i in fair], half_trust) for c in range(2)])
        tint = tint + self._color * sum(m * self._tint[i][1] for m, i in zip(half_masks, members, strict=True))
        mean = self._portraits.shape[cohort].mean(axis=0)
        shape = mean + restored * (weights @ self._portraits.shape[members] - mean)
        return BankEntry(luma, tint, np.clip(shape, -MAX_SHAPE, MAX_SHAPE))

    @staticmethod
    def _common(planes: list[np.ndarray], trust: np.ndarray) -> np.ndarray:
        weights = trust + 0.02
        return _symmetric((np.array(planes) * weights).sum(axis=0) / weights.sum(axis=0))

    def _masks(self, count: int, trust: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(count, T, T) smooth symmetric masks that sum to one, zero where a portrait is not to be trusted."""
        size = trust.shape[-1]
        noise = [
            cv2.GaussianBlur(generator.standard_normal((size, size)).astype(np.float32), (0, 0), _MASK_SCALE * size) for _ in range(count)
        ]
        masks = _symmetric(np.stack(noise))
        masks = _MASK_CONTRAST * masks / masks.std()
        for rows, columns, source in self._eyes:  # an iris belongs to the eye around it
            masks[:, rows, columns] = masks[:, source[1], source[0]][:, None]
            masks[masks[:, source[1], source[0]].argmax(), rows, columns] += 20
        masks = np.exp(masks - masks.max(axis=0)) * (trust + 1e-4) ** 2
        return masks / masks.sum(axis=0)


def iris_sources(size: int) -> list[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """For each iris patch its rows and columns, and the (x, y) texel of its eye."""
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    sources = []
    for center, corners in zip(IRIS_PATCHES, (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS), strict=True):
        near = (u - center[0]) ** 2 + (v - center[1]) ** 2 < (IRIS_PATCH_RADIUS * (IRIS_REACH + 0.4)) ** 2
        place = np.round(UV_MAP[list(corners)].mean(axis=0) * size).astype(int)
        rows, columns = np.nonzero(near)
        sources.append((rows, columns, (int(place[0]), int(place[1]))))
    return sources


def mouth_mask(size: int) -> np.ndarray:
    """(size, size) float32, 1 inside the mouth, with a soft edge inwards."""
    return opening_mask(size, MOUTH_START, RIGHT_EYE_START)


def region_masks(size: int) -> np.ndarray:
    """(4, size, size) smooth masks that sum to one: eyes with brows, nose, mouth and chin, skin."""
    masks = [filled_hulls(hulls, size, growth) for hulls, growth in _REGIONS]
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    for center in IRIS_PATCHES:  # an iris belongs to the eye
        masks[0] = np.where((u - center[0]) ** 2 + (v - center[1]) ** 2 < (IRIS_PATCH_RADIUS * (IRIS_REACH + 0.6)) ** 2, 1, masks[0])
    eyes, nose, mouth = masks
    nose = nose * (1 - eyes)
    mouth = mouth * (1 - eyes) * (1 - nose)
    parts = np.stack([eyes, nose, mouth, 1 - eyes - nose - mouth])
    soft = np.stack([cv2.GaussianBlur(part.astype(np.float32), (0, 0), _REGION_BLUR * size) for part in parts])
    iris = np.min([np.hypot(u - x, v - y) for x, y in IRIS_PATCHES], axis=0) < IRIS_PATCH_RADIUS * (IRIS_REACH + 0.4)
    soft[:, iris] = parts[:, iris]
    return (soft / soft.sum(axis=0)).astype(np.float32)


def fill_bank(model: GanonModel, portraits: Portraits, looks: np.ndarray, mouths: Mouths, *, seed: int = 0) -> list[np.ndarray]:
    """Blend portraits and write bank and mouths into a model (in place).

    Args:
        model: of the sizes of the bank, with prior and shape statistics.
        portraits: the people.
        looks: (n, 5) their classes, see ``people.look_classes``.
        mouths: as many as the model has.
        seed: of the choice of people and regions.

    Returns:
        for each person of the bank the indices of the portraits.

    Raises:
        ValueError: there are fewer than :data:`MEMBERS` portraits of every look.
    """
    people, statistics = model.people, model.geometry
    if people is None:
        raise ValueError("a bank belongs to a model with conditioning='mesh'.")
    generator, blender = np.random.default_rng(seed), Blender(portraits, looks)
    count, size = model.config.num_people, model.config.people_texture_size
    members, cohorts = _choose_members(looks, count, generator)
    with torch.no_grad():
        for number, (some, cohort) in enumerate(zip(members, cohorts, strict=True)):
            entry = blender.blend(some, cohort, generator)
            trusted = _mesh(size)
            half = cv2.resize(trusted, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
            (broad, detail), *tints = (
                _layers(plane, mask) for plane, mask in zip((entry.luma, *entry.chroma), (trusted, half, half), strict=True)
            )
            people.broad[number] = torch.from_numpy(np.stack([broad, *(tint for tint, _ in tints)]))
            people.luma[number] = torch.from_numpy(np.clip(np.round(detail * trusted), -127, 127).astype(np.int8))
            fine = np.stack([one for _, one in tints])
            people.chroma[number] = torch.from_numpy(np.clip(np.round(2 * fine * half), -127, 127).astype(np.int8))
            statistics.people_shapes[number] = torch.from_numpy(entry.shape.astype(np.float32))
            statistics.people_looks[number] = torch.from_numpy(looks[some[0]].astype(np.int64))
        people.regions.copy_(torch.from_numpy(region_masks(REGIONS_SIZE)))
        x, y, width, height = model.config.mouth_box
        here = (slice(None), slice(y, y + height), slice(x, x + width))
        people.mouth_luma.copy_(torch.from_numpy(np.clip(np.round(mouths.luma[here]), 0, 255).astype(np.uint8)))
        halves = (slice(None), slice(None), slice(y // 2, (y + height) // 2), slice(x // 2, (x + width) // 2))
        people.mouth_chroma.copy_(torch.from_numpy(np.clip(np.round(2 * mouths.chroma[halves]), -127, 127).astype(np.int8)))
        people.mouth_mask.copy_(torch.from_numpy(mouth_mask(size)[here[1:]]))
        people.mouth_shapes.copy_(torch.from_numpy(mouths.shapes.astype(np.float32)))
    return members


def add_to_people(people: PeopleTextures, luma: np.ndarray, chroma: np.ndarray, who: np.ndarray) -> None:
    """Add the same to the textures of people of a bank (in place).

    Args:
        people: the bank.
        luma: (T, T) gray values.
        chroma: (2, T / 2, T / 2) Cb and Cr.
        who: (n,) numbers of the people.
    """
    size = people.luma.shape[-1]
    trusted = _mesh(size)
    half = cv2.resize(trusted, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    layers = [_layers(plane, mask) for plane, mask in zip((luma, *chroma), (trusted, half, half), strict=True)]
    rows = torch.from_numpy(who)
    with torch.no_grad():
        people.broad[rows] += torch.from_numpy(np.stack([broad for broad, _ in layers]))
        for stored, change in (
            (people.luma, layers[0][1] * trusted),
            (people.chroma, 2 * half * np.stack([fine for _, fine in layers[1:]])),
        ):
            stored[rows] = (stored[rows].float() + torch.from_numpy(change)).round().clamp(-127, 127).to(stored.dtype)


def change_mouths(people: PeopleTextures, chroma: np.ndarray, gain: float) -> None:
    """Change the inside of all mouths of a bank (in place): add (2, T / 2, T / 2) Cb and Cr, and multiply luma."""
    height, width = (side // 2 for side in people.mouth_luma.shape[-2:])
    top, left = people.top // 2, people.left // 2
    inside = torch.from_numpy(2 * chroma[:, top : top + height, left : left + width])
    with torch.no_grad():
        people.mouth_chroma.copy_((people.mouth_chroma.float() + inside).round().clamp(-127, 127))
        people.mouth_luma.copy_((people.mouth_luma.float() * gain).round().clamp(0, 255))


def _layers(plane: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, T) texture -> its broad structure of :data:`BROAD_SIZE` texels, and the detail that the model adds to it."""
    broad = cv2.resize(blurred(plane, mask, 0.6 / BROAD_SIZE), (BROAD_SIZE, BROAD_SIZE), interpolation=cv2.INTER_AREA)
    return broad, plane - _enlarged(broad, plane.shape[-1])


def _mesh(size: int) -> np.ndarray:
    """(size, size) float32, 1 on texels of the mesh and of the irises."""
    rows, columns, _, _ = texel_table(size)
    mask = np.zeros((size, size), np.float32)
    mask[rows, columns] = 1
    for rows, columns, _ in iris_sources(size):
        mask[rows, columns] = 1
    return cv2.dilate(mask, np.ones((3, 3)))


def _enlarged(broad: np.ndarray, size: int) -> np.ndarray:
    """As the model enlarges the broad structure."""
    return enlarge(torch.from_numpy(broad)[None, None], size)[0, 0].numpy()


def _choose_members(looks: np.ndarray, count: int, generator: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each person of the bank the portraits to blend, the first of which says the look, and all portraits that look like them.

    Every class of age, sex and beard has as many people in the bank; within it every portrait comes first equally often.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, look in enumerate(looks):
        groups.setdefault((int(look[0]), int(look[1]), int(look[2])), []).append(number)
    usable = {key: np.array(some) for key, some in groups.items() if len(some) >= MEMBERS}
    if not usable:
        raise ValueError(f"a bank needs at least {MEMBERS} portraits of one age, sex and beard, but there are {len(looks)} of other looks.")
    members, cohorts = [], []
    orders = {key: generator.permutation(some) for key, some in usable.items()}
    for number in range(count):
        key = sorted(usable)[number % len(usable)]
        cohort, order = usable[key], orders[key]
        first = order[(number // len(usable)) % len(order)]
        # like tones of skin and brows first, and among them whom the seed chooses
        others = cohort[cohort != first]
        apart = 2.0 * np.abs(looks[others, 4] - looks[first, 4]) + np.abs(looks[others, 3] - looks[first, 3])
        near = others[np.argsort(apart + generator.uniform(0, 1.5, len(others)), kind="stable")]
        members.append(np.concatenate([[first], near[: MEMBERS - 1]]))
        cohorts.append(cohort)
    return members, cohorts
