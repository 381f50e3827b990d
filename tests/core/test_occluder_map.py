"""What lies in front of a face stays, and nothing that may be face does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import face_at, noise_photo

import ganon_hf
from ganon_hf import AnonymizeOptions, Anonymizer
from ganon_hf.core.alignment import align_face, crop_image
from ganon_hf.core.color import luma_of
from ganon_hf.core.compositing import erase_frames
from ganon_hf.core.covering import Covers
from ganon_hf.core.face_mesh import CHIN, FACE_OVAL, LEFT_IRIS, LIP_LOWER, RIGHT_IRIS
from ganon_hf.core.faces import Crop, Face
from ganon_hf.core.modeling_ganon import GanonConfig, OccluderNetwork
from ganon_hf.core.occluder_map import _is_sure, _remainders, _stray, _without_steps, read_occluders
from ganon_hf.core.occluders import CLOTH, GLASSES, HAIR, HULL_CHANNELS, MAP_SIZE, NONE, OCCLUDER_NAMES, draw_hulls
from ganon_hf.core.opencv import cv2
from ganon_hf.training.occluder_objects import hand
from ganon_hf.training.occluder_samples import BareFaces, compose, make_scene, paint
from ganon_hf.training.occluder_scene import Layer, Scene
from ganon_hf.training.occluder_shapes import hat, mask

PORTRAIT = Path(ganon_hf.__file__).parent / "card" / "portrait.jpg"
SIDE = 256
FACE = face_at(SIDE / 2, SIDE / 2, 150)
assert FACE.landmarks is not None
CROP = align_face(FACE.landmarks.astype(float), SIDE)
POINTS = CROP.to_crop(FACE.landmarks)


def sees(number: int) -> OccluderNetwork:
    """A network that sees one class everywhere."""
    network = OccluderNetwork(GanonConfig(occluder_channels=4)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.out.bias.view(-1, 4)[number] = 12.0  # pixel_shuffle keeps the four places of a class together
    return network


def noise(seed: int) -> np.ndarray:
    return noise_photo(SIDE, SIDE, seed=seed)


# ---- hulls and network


def test_hulls_are_where_the_features_are() -> None:
    hulls = draw_hulls(POINTS, SIDE) > 0
    for point, channel in ((RIGHT_IRIS[0], 1), (LEFT_IRIS[0], 1), (4, 2), (LIP_LOWER, 3), (CHIN - 1, 0)):
        x, y = POINTS[point, :2].astype(int)
        assert hulls[y, x, channel], f"point {point} is not in channel {channel}"
    assert hulls.shape == (SIDE, SIDE, HULL_CHANNELS)
    outside = hulls[..., 1:].any(axis=2) & ~hulls[..., 0]
    assert not outside.any()
    assert not hulls[0].any() and not draw_hulls(POINTS + 1e7, SIDE).any()


def test_the_network_is_small_and_sees_each_pixel() -> None:
    network = OccluderNetwork(GanonConfig(occluder_channels=16)).eval()
    assert sum(value.numel() for value in network.state_dict().values()) < 700_000
    with torch.inference_mode():
        logits = network(torch.zeros(2, 3, MAP_SIZE, MAP_SIZE), torch.zeros(2, HULL_CHANNELS, MAP_SIZE, MAP_SIZE))
    assert logits.shape == (2, len(OCCLUDER_NAMES), MAP_SIZE, MAP_SIZE)


# ---- what stays


def test_a_cover_behind_a_face_is_not_kept_in_front_of_it() -> None:
    """A cover of a neighbor reaches into the square: it looks like a thing, and would leave a hole in the synthetic face."""
    covered = np.zeros((SIDE, SIDE), bool)
    covered[:, : SIDE // 2] = True
    found = read_occluders(sees(CLOTH), noise(1), CROP, POINTS, noise(2).astype(np.float32), covered)
    assert not found.keep[covered].any() and found.not_skin[covered].all()
    face = (draw_hulls(POINTS, SIDE)[..., 0] > 0) & ~covered
    assert found.keep[face].mean() > 0.8, "what lies beside the cover stays"


def test_what_is_surely_in_front_stays() -> None:
    found = read_occluders(sees(CLOTH), noise(1), CROP, POINTS, noise(2).astype(np.float32))
    face = draw_hulls(POINTS, SIDE)[..., 0] > 0
    assert found.names == ("cloth",) and found.keep[face].mean() > 0.99 and found.not_skin.all() and not found.frame.any()


@pytest.mark.parametrize(
    ("probability", "likeness", "stays"),
    [
        (0.79, -1.0, False),  # not sure at all
        (0.81, 0.36, True),
        (0.81, 0.38, False),  # what is hardly sure must not look like a face
        (0.9, 0.54, True),
        (0.9, 0.56, False),
        (1.0, 0.74, True),  # the bridge of a mask looks like a nose
        (1.0, 0.76, False),  # paint
    ],
)
def test_the_surer_a_thing_is_the_more_it_may_look_like_a_face(probability: float, likeness: float, stays: bool) -> None:
    assert _is_sure(probability, likeness) is stays


class Helmet(OccluderNetwork):
    """A network that sees a thing above a row of its map, and is less sure of its edge of two rows."""

    def __init__(self, row: int) -> None:
        super().__init__(GanonConfig(occluder_channels=4))
        self.row = row

    def forward(self, pictures: torch.Tensor, hulls: torch.Tensor) -> torch.Tensor:
        chance = torch.full((MAP_SIZE,), 0.02)
        chance[: self.row], chance[self.row - 2 : self.row] = 0.98, 0.69
        logits = torch.full((len(pictures), len(OCCLUDER_NAMES), MAP_SIZE, MAP_SIZE), -12.0)
        logits[:, CLOTH], logits[:, NONE] = chance.log()[:, None], (1 - chance).log()[:, None]
        return logits


def test_a_helmet_down_to_the_brows_has_no_dents() -> None:
    hulls = draw_hulls(POINTS * (MAP_SIZE / SIDE), MAP_SIZE)
    rows, columns = np.nonzero(hulls[..., 1])
    end = int(rows.min()) - 1  # its edge reaches into the margin of the eyes and brows, but not into themselves
    found = read_occluders(Helmet(end), np.full((SIDE, SIDE, 3), 128, np.uint8), CROP, POINTS, noise(2).astype(np.float32))
    kept = found.keep[2 * end - 9 : 2 * end - 7, 2 * columns.min() : 2 * columns.max()]
    assert kept.min() > 0.65, "a margin around its faint edge took half of it"
    brows = draw_hulls(POINTS, SIDE)[..., 1] > 0
    assert found.keep[brows].max() < 0.3 and found.keep[cv2.erode(brows.view(np.uint8), np.ones((5, 5))) > 0].max() == 0


def test_the_edge_of_something_smooth_is_no_smear() -> None:
    """Where luma shows no edge, the guided filter made a ramp of a tenth of the face, through which a forehead shone."""
    end = int(POINTS[FACE_OVAL[0], 1] / 2) + 12
    assert draw_hulls(POINTS, SIDE)[: 2 * end + 12, :, 1:].max() == 0, "far from the brows"
    found = read_occluders(Helmet(end), np.full((SIDE, SIDE, 3), 128, np.uint8), CROP, POINTS, noise(2).astype(np.float32))
    column = found.keep[:, round(POINTS[FACE_OVAL[0], 0])]
    between = np.count_nonzero((column > 0.02) & (column < 0.98))
    assert column[2 * end - 14] > 0.98 and column[2 * end + 10] < 0.02
    assert 6 <= between <= 14, "soft, but not wide"


def test_what_is_left_of_a_thing_beside_what_must_go_is_no_blot() -> None:
    kept, denied = np.zeros((2, MAP_SIZE, MAP_SIZE), bool)
    denied[40:60, 40:60] = True
    blot, strand, hand = (slice(42, 52), slice(62, 72)), (slice(5, 20), slice(90, 94)), (slice(62, 100), slice(10, 70))
    for part in (blot, strand, hand):
        kept[part] = True
    gone = _remainders(kept, denied)
    assert gone[blot].all() and gone.sum() == 100, "neither strands of hair elsewhere nor most of a hand"
    assert not _remainders(kept, np.zeros_like(denied)).any()


def test_spots_of_sunglasses_beside_an_eye_go() -> None:
    eyes, kept, sunglasses = np.zeros((3, 60, 60), bool)
    eyes[20:26, 10:22] = eyes[20:26, 38:50] = True
    kept[18:30, 8:24] = sunglasses[18:30, 8:24] = True
    sunglasses[20:28, 10:22] = False  # a lens with a reflection that was taken for something else
    kept[28:31, 40:44] = sunglasses[28:31, 40:43] = True  # a spot below the other eye
    kept[27:30, 46:49] = True  # of something else
    kept[2:8, 10:50] = sunglasses[2:8, 10:50] = True  # pushed up
    gone = _stray(kept, sunglasses, eyes)
    assert gone[28:31, 40:44].all() and np.count_nonzero(gone) == 12


class Doubtful(OccluderNetwork):
    """A network that sees one thing everywhere, but is less or more sure of it in a circle."""

    def __init__(self, center: np.ndarray, radius: float, chance: float, *, number: int = CLOTH, around: float = 0.98) -> None:
        super().__init__(GanonConfig(occluder_channels=4))
        rows, columns = np.mgrid[:MAP_SIZE, :MAP_SIZE]
        circle = np.hypot(columns - center[0], rows - center[1]) < radius
        self.chance = torch.from_numpy(np.where(circle, chance, around).astype(np.float32))
        self.number = number

    def forward(self, pictures: torch.Tensor, hulls: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(pictures), len(OCCLUDER_NAMES), MAP_SIZE, MAP_SIZE), -12.0)
        logits[:, self.number], logits[:, NONE] = self.chance.log(), (1 - self.chance).log()
        return logits


@pytest.mark.parametrize(
    ("radius", "chance", "stays"),
    [
        (6.0, 0.45, True),  # a fold of a mask that the network is not sure of
        (6.0, 0.1, False),  # skin between fingers
        (10.0, 0.45, False),  # as large as a cheek
    ],
)
def test_no_skin_shines_through_a_mask(radius: float, chance: float, stays: bool) -> None:
    cheek = POINTS[205, :2]
    network = Doubtful(cheek * (MAP_SIZE / SIDE), radius, chance)
    kept = read_occluders(network, noise(1), CROP, POINTS, noise(2).astype(np.float32)).keep[round(cheek[1]), round(cheek[0])]
    assert kept > 0.95 if stays else kept < 0.1


def test_what_resembles_the_face_never_stays() -> None:
    """The network may be as sure as it likes: a photo that looks like the synthetic face for the place shows a face."""
    photo = noise(1)
    seen = crop_image(photo, CROP).astype(np.float32)
    found = read_occluders(sees(CLOTH), photo, CROP, POINTS, 0.5 * seen + 40)  # other light, the same structure
    face = draw_hulls(POINTS, SIDE)[..., 0] > 0
    assert found.keep[face].max() == 0 and found.names == ()


def test_hair_over_one_eye_says_nothing_of_the_other_things() -> None:
    photo = noise(1)
    seen = crop_image(photo, CROP).astype(np.float32)
    hulls = draw_hulls(POINTS, SIDE)
    found = read_occluders(sees(HAIR), photo, CROP, POINTS, seen)
    features = hulls[..., 1:].max(axis=2) > 0
    assert found.keep[features].max() == 0 and found.keep[(hulls[..., 0] > 0) & ~features].mean() > 0.5


@pytest.mark.parametrize(("number", "frame"), [(NONE, False), (GLASSES, True)])
def test_faces_and_spectacles_never_stay(number: int, frame: bool) -> None:
    found = read_occluders(sees(number), noise(1), CROP, POINTS, noise(2).astype(np.float32))
    assert found.keep.max() == 0 and found.names == () and found.frame.all() == frame


def test_a_frame_goes_on_where_it_is_less_sure_but_not_into_its_halo() -> None:
    """A halo of 0.15 lay over the ear and the hair beside a pair in a real photo."""
    network = Doubtful(POINTS[168, :2] * (MAP_SIZE / SIDE), 6.0, 0.9, number=GLASSES, around=0.15)
    assert 0.005 < read_occluders(network, noise(1), CROP, POINTS, noise(2).astype(np.float32)).frame.mean() < 0.03
    network = Doubtful(POINTS[168, :2] * (MAP_SIZE / SIDE), 6.0, 0.9, number=GLASSES, around=0.3)
    assert read_occluders(network, noise(1), CROP, POINTS, noise(2).astype(np.float32)).frame.all()


def test_frames_are_painted_over_from_around_them() -> None:
    canvas = np.full((100, 120, 3), (200, 150, 120), np.uint8)
    canvas[48:52, 20:100] = 10
    crop = Crop(np.array([[1.0, 0, 0], [0, 1.0, 10]]), 120)
    frame = np.zeros((120, 120), bool)
    frame[58:62, 20:100] = True
    erase_frames(canvas, crop, frame)
    assert np.abs(canvas.astype(int) - (200, 150, 120)).max() <= 3
    before = canvas.copy()
    erase_frames(canvas, crop, np.zeros((120, 120), bool))
    erase_frames(canvas, Crop(np.array([[1.0, 0, 900], [0, 1.0, 900]]), 120), frame)  # outside of the photo
    assert (canvas == before).all()


# ---- the shipped network


@pytest.fixture(scope="module")
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


@pytest.fixture(scope="module")
def portrait(engine: Anonymizer) -> tuple[np.ndarray, Face]:
    photo = np.array(Image.open(PORTRAIT).convert("RGB"))
    return photo, max(engine.detector(photo), key=lambda face: face.box[2] - face.box[0])


def square(portrait: tuple[np.ndarray, Face]) -> tuple[BareFaces, Face]:
    """The portrait as a picture of the size that things are laid over."""
    photo, face = portrait
    crop = align_face(np.asarray(face.landmarks, float), 128)
    crop = Crop(crop.matrix + [[0, 0, 32]] * 2, 192)
    points = crop.to_crop(np.asarray(face.landmarks)).astype(np.float32)
    faces = BareFaces(np.repeat(crop_image(photo, crop)[None], 2, axis=0), np.repeat(points[None], 2, axis=0))
    low, high = points[FACE_OVAL, :2].min(axis=0), points[FACE_OVAL, :2].max(axis=0)
    return faces, Face((*low, *high), 0.9, points)


@pytest.mark.detection
@pytest.mark.parametrize(("draw", "name", "draws", "least"), [(mask, "cloth", 8, 5), (hat, "cloth", 16, 10), (hand, "hand", 24, 6)])
def test_things_in_front_stay_and_are_reported(
    engine: Anonymizer,
    portrait: tuple[np.ndarray, Face],
    draw: Callable[[Scene, np.random.Generator], list[Layer]],
    name: str,
    draws: int,
    least: int,
) -> None:
    """Some drawn things are refused, because they may be face; those that are reported stay as they are."""
    faces, face = square(portrait)
    scene, changes = make_scene(faces, 0), []
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        image, labels = compose(faces.pictures[0], np.zeros((192, 192), np.uint8), draw(scene, generator), generator)
        photo = np.clip(image, 0, 255).astype(np.uint8)
        where = (labels > 0) & (draw_hulls(np.asarray(face.landmarks), 192)[..., 0] > 0)
        results = [engine(photo, AnonymizeOptions(seed=seed, keep_occluders=keep), faces=[face]) for keep in (True, False)]
        assert results[1].faces[0].kept == ()
        if name in results[0].faces[0].kept:
            before = luma_of(photo.astype(np.float32))
            changes.append([float(np.abs(luma_of(np.asarray(one.image, np.float32)) - before)[where].mean()) for one in results])
    assert len(changes) >= least, f"{name}: stayed {len(changes)} times of {draws}"
    stayed, gone = np.median(changes, axis=0)
    assert stayed < 0.75 * gone, "parts of a hand over an eye or the mouth are refused"


@pytest.mark.detection
def test_paint_and_light_are_not_taken_for_things(engine: Anonymizer, portrait: tuple[np.ndarray, Face]) -> None:
    """Face paint, tattoos, make-up, colored light and hard shadows: eyes, nose and mouth are replaced all the same."""
    faces, face = square(portrait)
    scene, kept = make_scene(faces, 0), []
    for seed in range(16):
        generator = np.random.default_rng(seed)
        layers = [layer for _ in range(3) for layer in paint(scene, generator)]
        photo = np.clip(compose(faces.pictures[0], np.zeros((192, 192), np.uint8), layers, generator)[0], 0, 255).astype(np.uint8)
        plan = engine.plan(photo, AnonymizeOptions(seed=seed), faces=[face])
        made = engine.generate(plan.inputs)[0]
        one = plan.faces[0]
        assert engine.model.occluders is not None and one.crop is not None and one.original is not None and not isinstance(made, str)
        found = read_occluders(engine.model.occluders, photo, one.crop, one.original, made)
        kept.append(float(found.keep[draw_hulls(one.original, one.crop.size)[..., 1:].max(axis=2) > 0].mean()))
    assert max(kept) < 0.02, kept


def test_the_option_is_off_for_crops_and_where_the_user_says_so(portrait: tuple[np.ndarray, Face], engine: Anonymizer) -> None:
    photo, face = portrait
    for options in (AnonymizeOptions(seed=1, output="crop"), AnonymizeOptions(seed=1, keep_occluders=False)):
        plan = engine.plan(photo, options, faces=[face])
        assert engine._occluders(plan, plan.faces[0], np.zeros((256, 256, 3), np.float32), photo, Covers(photo)) is None


def test_what_must_not_stay_does_not_and_its_edge_has_neither_steps_nor_gaps() -> None:
    single = np.random.default_rng(0).random((MAP_SIZE, MAP_SIZE)) < 0.002
    denied = cv2.dilate(single.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    allowed = _without_steps(denied, 4 * MAP_SIZE)
    assert np.count_nonzero(single) > 10 and allowed[1::4, 1::4][single].max() == 0, "not even where a single pixel was denied"
    row = np.zeros((MAP_SIZE, MAP_SIZE), bool)
    row[60:66, 20:100] = True
    row[60:63, 40:48] = False  # a tooth is missing in its upper edge
    edge = _without_steps(row, 4 * MAP_SIZE)
    assert edge[62 * 4, 44 * 4] == 0 and edge[30 * 4].min() == 1
    assert np.abs(np.diff(edge, axis=0)).max() < 0.25, "no step from one pixel to the next"
