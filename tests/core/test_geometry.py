"""Head pose with rotations built by hand, and the exchange of the identity: what must change and what must stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganon_hf.core.face_mesh import (
    FACE_OVAL,
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    LIP_CORNERS,
    MEAN_LANDMARKS,
    MIRROR,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    UV_MAP,
)
from ganon_hf.core.geometry import PRIVACY, Pose, ShapeModel, hide_habits, normalize_pose, rotation_of
from ganon_hf.core.openings import carry_openings, open_eyes
from ganon_hf.core.people import Population, draw_identity
from ganon_hf.evaluation.metrics.expression import gaze_directions

MOUTH = (MOUTH_UPPER, MOUTH_LOWER, MOUTH_CORNERS)
RIGHT_EYE = (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_CORNERS)
LEFT_EYE = (LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_EYE_CORNERS)


def turn(axis: str, degrees: float) -> np.ndarray:
    """(3, 3) rotation for points as columns. z: clockwise on the screen; x: the nose goes down; y: the nose goes to the right."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "z": np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]),
        "x": np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]),
        "y": np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]),
    }[axis]


def openings(shape: np.ndarray, part: tuple[list[int], list[int], tuple[int, int]]) -> np.ndarray:
    """How far lips or lids stand apart, in widths of the mouth or eye."""
    upper, lower, corners = part
    return (shape[lower] - shape[upper])[:, 1] / np.linalg.norm(shape[corners[0]] - shape[corners[1]])


def with_opening(shape: np.ndarray, part: tuple[list[int], list[int], tuple[int, int]], factor: float) -> np.ndarray:
    """Lips or lids ``factor`` times as far apart."""
    shape, (upper, lower, _) = shape.copy(), part
    middle, half = (shape[upper] + shape[lower]) / 2, (shape[lower] - shape[upper]) / 2
    shape[upper], shape[lower] = middle - factor * half, middle + factor * half
    return shape


def gaze(shape: np.ndarray, corners: tuple[int, int], center: int) -> float:
    """Where the iris stands between the corners: 0 at the picture's left one, 1 at its right one."""
    along = shape[corners[1]] - shape[corners[0]]
    return float((shape[center] - shape[corners[0]]) @ along / (along @ along))


def ways_to_differ() -> np.ndarray:
    """(1434, 4) smooth differences between invented people."""
    u, v = (UV_MAP[:, 0] - 0.5) * 2, (UV_MAP[:, 1] - 0.5) * 2
    zero = np.zeros(468)
    fields = [(0.08 * u, zero, zero), (zero, 0.08 * v, zero), (0.05 * u * v, zero, 0.05 * v), (zero, 0.05 * (1 - u**2), 0.06 * u**2)]
    basis = np.zeros((4, 478, 3))
    for one, field in zip(basis, fields, strict=True):
        one[:468] = np.stack(field, axis=-1)
        for iris, corners in ((RIGHT_IRIS, RIGHT_EYE_CORNERS), (LEFT_IRIS, LEFT_EYE_CORNERS)):
            one[list(iris)] = one[list(corners)].mean(axis=0)
    return basis.reshape(4, -1).T


def smile() -> np.ndarray:
    """(1434,) both corners of the mouth up, unit length, apart from how people differ."""
    up = np.zeros((478, 3))
    for corner in LIP_CORNERS:
        up[:468, 1] -= np.exp(-((np.linalg.norm(UV_MAP - UV_MAP[corner], axis=1) / 0.08) ** 2))
    axes = np.linalg.qr(ways_to_differ())[0]
    own = up.ravel() - axes @ (axes.T @ up.ravel())
    return own / np.linalg.norm(own)


def people() -> ShapeModel:
    """Invented people and one expression; the code is how far the corners are up, the decoder believes all of it."""
    axes = np.column_stack([np.linalg.qr(ways_to_differ())[0], smile()])
    deviations = np.array([0.5, 0.4, 0.3, 0.2, 0.1])
    identity = axes.T @ ways_to_differ() / deviations[:, None]
    return ShapeModel(
        MEAN_LANDMARKS.ravel(),
        axes,
        deviations,
        lambda coordinates: coordinates[4:],
        lambda code, person, noise: identity @ person + np.concatenate([np.zeros(4), code]),
    )


def person(index: int = 0) -> np.ndarray:
    """The shape of somebody else than the mean."""
    return MEAN_LANDMARKS + (ways_to_differ() @ draw_identity(11, index, anybody(4)).shape).reshape(478, 3)


def anybody(num_shape: int) -> Population:
    """Twelve people of one look."""
    return Population(np.random.default_rng(1).standard_normal((12, num_shape)), np.zeros((12, 5), int), *np.ones((2, 12)))


IDENTITIES = [draw_identity(3, index, anybody(4), num_expression=1) for index in range(3)]

# ---- pose

angle = st.floats(-75, 75)
similarity = st.tuples(angle, angle, st.floats(-180, 180), st.floats(0.5, 900), st.floats(-4000, 4000), st.floats(-4000, 4000))


def place(shape: np.ndarray, numbers: tuple[float, ...]) -> np.ndarray:
    yaw, pitch, roll, scale, x, y = numbers
    return scale * shape @ (turn("z", roll) @ turn("x", pitch) @ turn("y", yaw)).T + np.array([x, y, 0.3 * x])


@settings(max_examples=60, deadline=None)
@given(numbers=similarity, seed=st.integers(0, 99))
def test_shape_and_pose_give_the_points_back(numbers: tuple[float, ...], seed: int) -> None:
    points = place(MEAN_LANDMARKS + 0.05 * np.random.default_rng(seed).standard_normal((478, 3)), numbers)
    shape, pose = normalize_pose(points)
    assert np.allclose(pose.apply(shape), points, atol=1e-6 * numbers[3] + 1e-6)
    assert np.allclose(pose.invert(points), shape)
    assert np.allclose(pose.rotation @ pose.rotation.T, np.eye(3)) and np.linalg.det(pose.rotation) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(numbers=similarity, seed=st.integers(0, 99))
def test_the_shape_does_not_know_where_the_head_was(numbers: tuple[float, ...], seed: int) -> None:
    own = MEAN_LANDMARKS + 0.05 * np.random.default_rng(seed).standard_normal((478, 3))
    assert np.allclose(normalize_pose(place(own, numbers))[0], normalize_pose(own)[0], atol=1e-5)


def test_the_mean_shape_is_at_rest() -> None:
    shape, pose = normalize_pose(MEAN_LANDMARKS)
    assert np.allclose(shape, MEAN_LANDMARKS) and pose.scale == pytest.approx(1) and np.allclose(pose.angles, 0)


@pytest.mark.parametrize(
    ("axis", "place_of_angle", "sign", "why"),
    [
        ("y", 0, 1, "the nose moves to the picture's right: yaw > 0"),
        ("x", 1, -1, "the nose moves down: pitch < 0"),
        ("z", 2, 1, "clockwise on the screen: roll > 0"),
    ],
)
@pytest.mark.parametrize("degrees", [-40, -5, 5, 40])
def test_signs_of_the_angles(axis: str, place_of_angle: int, sign: int, why: str, degrees: float) -> None:
    points = MEAN_LANDMARKS @ turn(axis, degrees).T
    nose, middle, forehead = points[4], points[[127, 356, 10, 152]].mean(axis=0), points[10]
    seen = {"y": nose[0] - middle[0], "x": nose[1] - (MEAN_LANDMARKS[4, 1]), "z": forehead[0]}[axis]
    assert np.sign(seen) == np.sign(degrees), "the rotation of this test does what it says"
    angles = normalize_pose(100 * points + [300, 200, 0])[1].angles
    expected = np.zeros(3)
    expected[place_of_angle] = sign * degrees
    assert np.allclose(angles, expected, atol=1e-6), why


def test_angles_of_a_mirrored_face() -> None:
    """What mirrored training pictures rely on: yaw and roll change sign, pitch stays."""
    points = place(MEAN_LANDMARKS, (30, 10, 20, 100, 0, 0))
    yaw, pitch, roll = normalize_pose(points)[1].angles
    assert abs(yaw) > 15 and abs(pitch) > 5 and abs(roll) > 10
    assert np.allclose(normalize_pose(points[MIRROR] * [-1, 1, 1])[1].angles, (-yaw, pitch, -roll), atol=1e-6)


def test_expression_hardly_moves_the_pose() -> None:
    opened = with_opening(MEAN_LANDMARKS, MOUTH, 6)
    opened[[152, 148, 377, 176, 400], 1] += 0.25  # the chin drops
    _, pose = normalize_pose(100 * opened)
    assert pose.scale == pytest.approx(100, rel=0.01) and np.abs(pose.angles).max() < 1


def test_a_mirror_is_no_pose() -> None:
    """Points in a mirror without their partners' names: whatever is fitted is a rotation, or it is refused."""
    try:
        _, pose = normalize_pose(100 * MEAN_LANDMARKS * [-1, 1, 1])
    except ValueError:
        return
    assert np.linalg.det(pose.rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (np.zeros((478, 3)), "all points in one"),
        (np.full((478, 3), 7.0), "likewise, elsewhere"),
        (MEAN_LANDMARKS[:468], "a mesh without irises"),
        (MEAN_LANDMARKS[:, :2], "no depth"),
        (np.where(np.arange(1434).reshape(478, 3) == 9, np.nan, MEAN_LANDMARKS), "not a number"),
        (np.where(np.arange(1434).reshape(478, 3) == 9, np.inf, MEAN_LANDMARKS), "infinite"),
        (MEAN_LANDMARKS * 1e-7, "smaller than anything"),
    ],
)
def test_points_without_a_pose_are_refused(points: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match="points"):
        normalize_pose(points)


# ---- openings and gaze


@pytest.mark.parametrize("index", range(3))
def test_closed_lips_stay_closed(index: int) -> None:
    result = carry_openings(with_opening(MEAN_LANDMARKS, MOUTH, 0), person(index))
    assert np.abs(openings(result, MOUTH)).max() < 1e-6


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_an_open_mouth_opens_as_far(factor: float) -> None:
    source, target = with_opening(MEAN_LANDMARKS, MOUTH, factor), person(1)
    result = carry_openings(source, target)
    wanted = np.clip(openings(source, MOUTH), 0, None) * np.linalg.norm(target[MOUTH_CORNERS[0]] - target[MOUTH_CORNERS[1]])
    wide = np.clip((source[MOUTH_LOWER] - source[MOUTH_UPPER])[:, 1], 0, None)
    own = np.linalg.norm(target[MOUTH_LOWER] - target[MOUTH_UPPER], axis=1)
    wanted = np.minimum(wanted, np.maximum(wide, own + 0.1))  # in widths of the mouth, but no further than the source's
    assert np.allclose(np.linalg.norm(result[MOUTH_LOWER] - result[MOUTH_UPPER], axis=1), wanted, atol=1e-9)


@pytest.mark.parametrize("eye", [RIGHT_EYE, LEFT_EYE])
@pytest.mark.parametrize("index", range(3))
def test_a_blink_is_a_blink_and_the_other_eye_stays_open(eye: tuple[list[int], list[int], tuple[int, int]], index: int) -> None:
    result = carry_openings(with_opening(MEAN_LANDMARKS, eye, 0), person(index))
    other = LEFT_EYE if eye is RIGHT_EYE else RIGHT_EYE
    assert np.abs(openings(result, eye)).max() < 1e-6, "no sliver of the eyeball, not even at the corners"
    assert openings(result, other)[3] > 0.15


def test_half_closed_and_staring_eyes() -> None:
    middle = [
        openings(carry_openings(with_opening(MEAN_LANDMARKS, RIGHT_EYE, f), person(0)), RIGHT_EYE)[3] for f in (0, 0.4, 1.0, 1.15, 1.8)
    ]
    assert middle[0] < middle[1] < middle[2] < middle[4]
    assert middle[3] == pytest.approx(middle[2], rel=0.05), "how wide a resting eye is belongs to the person and does not pass"


def test_how_wide_an_eye_rests_comes_from_the_synthetic_person() -> None:
    narrow, wide = (with_opening(MEAN_LANDMARKS, RIGHT_EYE, factor) for factor in (0.85, 1.15))
    results = [openings(carry_openings(MEAN_LANDMARKS, target), RIGHT_EYE)[3] for target in (narrow, wide)]
    assert results[0] == pytest.approx(openings(narrow, RIGHT_EYE)[3], rel=0.05)
    assert results[1] == pytest.approx(openings(wide, RIGHT_EYE)[3], rel=0.05)


EYES = ((RIGHT_EYE_CORNERS, RIGHT_IRIS), (LEFT_EYE_CORNERS, LEFT_IRIS))


@pytest.mark.parametrize("shift", [-0.08, 0.0, 0.08])
def test_gaze_is_kept(shift: float) -> None:
    source = MEAN_LANDMARKS.copy()
    source[list(RIGHT_IRIS + LEFT_IRIS), 0] += shift
    before, after = ([gaze(shape, corners, iris[0]) for corners, iris in EYES] for shape in (source, carry_openings(source, person(2))))
    assert np.mean(after) == pytest.approx(np.mean(before), abs=0.01)


def test_eyes_that_turn_in_the_head_do_so_by_as_many_degrees() -> None:
    straight, turned = (carry_openings(MEAN_LANDMARKS, person(2), turned=turned) for turned in ((0, 0), (10, 20)))
    before, after = (gaze_directions(shape) for shape in (straight, turned))
    yaws, pitches = (
        (np.degrees(np.arcsin(part[:, 0])) for part in (before, after)),
        (np.degrees(np.arcsin(part[:, 1])) for part in (before, after)),
    )
    assert np.allclose(np.subtract(*yaws), -10, atol=1), "to the picture's right"
    assert np.allclose(np.subtract(*pitches), 20, atol=2), "up"


def test_irises_and_how_they_stand_apart_belong_to_the_synthetic_person() -> None:
    """How large an iris is in its eye, and how far a squinting eye looks aside, are features of the person."""
    source, target = MEAN_LANDMARKS.copy(), person(1)
    for (_, iris), shift in zip(EYES, (0.03, -0.03), strict=True):
        center = source[iris[0]]
        source[list(iris)] = center + 1.3 * (source[list(iris)] - center) + np.array([shift, 0, 0])
    result = carry_openings(source, target)
    assert np.allclose(result[list(RIGHT_IRIS + LEFT_IRIS)], target[list(RIGHT_IRIS + LEFT_IRIS)], atol=0.01)


def test_carrying_openings_does_not_touch_its_arguments_nor_the_rest_of_the_face() -> None:
    source, target = with_opening(with_opening(MEAN_LANDMARKS, MOUTH, 3), RIGHT_EYE, 0), person(1)
    before = source.copy(), target.copy()
    result = carry_openings(source, target)
    assert np.array_equal(source, before[0]) and np.array_equal(target, before[1])
    assert np.allclose(result[FACE_OVAL], target[FACE_OVAL], atol=1e-3)
    assert np.allclose(result[[4, 6, 10, 50, 280]], target[[4, 6, 10, 50, 280]], atol=5e-3)  # nose, brow, cheeks


# ---- exchange


def placed(shape: np.ndarray, yaw: float = 25) -> np.ndarray:
    return place(shape, (yaw, 8, -15, 80, 300, 200))


def test_everything_belongs_to_the_synthetic_person() -> None:
    first, second = placed(person(0)), placed(person(1))
    results = [normalize_pose(people().anonymize(points, IDENTITIES[0]))[0] for points in (first, second)]
    before = np.linalg.norm(normalize_pose(first)[0] - normalize_pose(second)[0], axis=1)
    after = np.linalg.norm(results[0] - results[1], axis=1)
    assert after.mean() < 0.25 * before.mean(), "two people become the same third one"
    assert after[FACE_OVAL].mean() < 0.25 * before[FACE_OVAL].mean(), "and so do their outlines"


def test_the_way_back_is_nearly_the_photos_pose() -> None:
    points = placed(person(0))
    first = normalize_pose(points)[1]
    for identity in IDENTITIES:
        second = normalize_pose(people().anonymize(points, identity, "low"))[1]
        assert np.allclose(first.angles, second.angles, atol=8) and second.scale == pytest.approx(first.scale, rel=0.1)


def test_more_privacy_turns_and_blurs_more() -> None:
    points = placed(person(0))
    identity = IDENTITIES[0]
    straight = people().exchange_identity(normalize_pose(points)[0], identity, 0.0)
    away = {}
    for name, level in PRIVACY.items():
        result = people().anonymize(points, identity, name)
        blurred = people().exchange_identity(normalize_pose(points)[0], identity, level.noise)
        away[name] = np.linalg.norm(blurred - straight, axis=1).mean(), pose_apart(points, result)
    assert [name for name in away] == ["low", "medium", "high"]
    for part in (0, 1):
        assert away["low"][part] < away["medium"][part] < away["high"][part]
    with pytest.raises(ValueError, match="privacy must be one of 'low', 'medium', 'high', but got 'off'"):
        people().anonymize(points, identity, "off")


def pose_apart(first: np.ndarray, second: np.ndarray) -> float:
    rotations = [normalize_pose(points)[1].rotation for points in (first, second)]
    return float(np.degrees(np.arccos(np.clip((np.trace(rotations[0] @ rotations[1].T) - 1) / 2, -1, 1))))


frontal = st.floats(-80, 80)


@settings(max_examples=60, deadline=None)
@given(yaw=frontal, pitch=frontal, roll=st.floats(-80, 80))
def test_a_rotation_has_the_angles_that_it_was_made_of(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_of(yaw, pitch, roll)
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)
    assert np.allclose(Pose(1.0, rotation, np.zeros(3)).angles, (yaw, pitch, roll), atol=1e-6)


def test_a_pose_turns_about_a_point() -> None:
    pose, center = Pose(50.0, rotation_of(10, 5, -3), np.array([100.0, 200.0, 0.0])), np.array([0.1, 0.4, -0.2])
    turned = pose.turned_to((-20, 0, 8), center)
    assert np.allclose(turned.angles, (-20, 0, 8)) and turned.scale == pose.scale
    assert np.allclose(turned.apply(center), pose.apply(center))


def hidden(angles: tuple[float, float, float], turn: float, count: int = 4000) -> np.ndarray:
    return np.array([hide_habits(angles, noise, turn) for noise in np.random.default_rng(0).standard_normal((count, 3))])


def test_habits_of_holding_the_head_are_lost() -> None:
    """Two people with habits 4 degrees apart are further apart than the spread before, and much less than it afterwards."""
    for place in range(3):
        habits = [tuple(side * 2.0 if axis == place else 0.0 for axis in range(3)) for side in (-1, 1)]
        first, second = (hidden(habit, PRIVACY["medium"].turn)[:, place] for habit in habits)  # type: ignore[arg-type]
        assert 0 < (second.mean() - first.mean()) / first.std() < 1.6
        assert first.std() < 4.5, "the error is smaller than the noise"


def test_a_head_that_is_turned_on_purpose_stays_turned() -> None:
    for angles in ((40, 0, 0), (-40, 0, 0), (0, 30, 0), (0, -40, 0), (0, 0, 30)):
        after = hidden(angles, PRIVACY["medium"].turn)
        assert np.allclose(after.mean(axis=0), np.where(np.array(angles) == 0, after.mean(axis=0), angles), atol=1.5)
    assert hide_habits((12.0, -7.0, 3.0), np.ones(3), 0.0) == pytest.approx((12.0, -7.0, 3.0)), "no noise, no change"


def test_eyes_keep_looking_where_they_looked_in_the_picture() -> None:
    points = place(MEAN_LANDMARKS, (8, -9, 2, 80, 300, 200))
    before = gaze_directions(normalize_pose(points)[0]) @ normalize_pose(points)[1].rotation
    for identity in IDENTITIES:
        shape, pose = normalize_pose(people().anonymize(points, identity, "high"))
        after = gaze_directions(shape) @ pose.rotation
        mean_before, mean_after = (part.mean(axis=0) / np.linalg.norm(part.mean(axis=0)) for part in (before, after))
        assert np.degrees(np.arccos(mean_before @ mean_after)) < 2.5


def test_different_identities_give_different_faces_and_the_same_one_the_same() -> None:
    points = placed(person(0))
    first, second, again = (people().anonymize(points, identity) for identity in (IDENTITIES[0], IDENTITIES[1], IDENTITIES[0]))
    assert np.array_equal(first, again) and np.linalg.norm(first - second, axis=1).max() > 3


def test_the_expression_passes_and_the_identity_does_not() -> None:
    model, up = people(), smile().reshape(478, 3) * 0.5
    neutral, smiling = (model.exchange_identity(MEAN_LANDMARKS + part, IDENTITIES[0], 0.0) for part in (0 * up, up))
    assert np.allclose((smiling - neutral)[list(LIP_CORNERS), 1], up[list(LIP_CORNERS), 1], atol=0.01)
    for index in range(3):
        other = model.exchange_identity(person(index), IDENTITIES[0], 0.0)
        assert np.linalg.norm((other - neutral)[:468], axis=1).mean() < 0.01
    assert np.linalg.norm(person(0) - MEAN_LANDMARKS, axis=1).mean() > 0.02, "they did differ"


@pytest.mark.parametrize("size", [0.9, 1.3])
def test_irises_have_the_size_of_the_person_and_stay_in_place(size: float) -> None:
    points = placed(person(0))
    usual, other = (normalize_pose(people().anonymize(points, replace(IDENTITIES[0], iris_scale=value)))[0] for value in (1.0, size))
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        before, after = (shape[list(iris)] - shape[iris[0]] for shape in (usual, other))
        assert np.allclose(after, size * before, atol=2e-3)
        assert np.allclose(usual[iris[0]], other[iris[0]], atol=2e-3), "the gaze is the same"
    rest = np.arange(468)
    assert np.allclose(usual[rest], other[rest], atol=2e-3)


@pytest.mark.parametrize("factor", [0.8, 1.04])
def test_eyes_rest_as_far_open_as_the_person_s_and_a_blink_stays_a_blink(factor: float) -> None:
    resting, shut = person(0), person(0)
    for upper, lower in ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER)):
        middle = (resting[upper, 1] + resting[lower, 1]) / 2
        shut[upper, 1], shut[lower, 1] = middle, middle

    def opening(shape: np.ndarray) -> float:
        return float((shape[RIGHT_EYE_LOWER] - shape[RIGHT_EYE_UPPER])[3, 1] + (shape[LEFT_EYE_LOWER] - shape[LEFT_EYE_UPPER])[3, 1])

    (usual, other), (closed, _) = (
        [people().exchange_identity(shape, replace(IDENTITIES[0], lid_scale=value), 0.0) for value in (1.0, factor)]
        for shape in (resting, shut)
    )
    assert opening(other) == pytest.approx(factor * opening(usual), rel=0.03)
    assert opening(closed) < 0.1 * opening(usual)
    mouth = list(LIP_CORNERS)
    assert np.allclose(usual[mouth], other[mouth], atol=2e-3), "nothing else moves"


def test_eyes_that_are_open_as_far_as_the_shape_says_stay_exactly_so() -> None:
    shape = person(0)
    assert np.array_equal(open_eyes(shape, 1.0), shape)
    assert not np.shares_memory(open_eyes(shape, 1.0), shape)


def test_the_chin_follows_an_opening_mouth_and_the_brow_does_not() -> None:
    closed, opened = MEAN_LANDMARKS.copy(), MEAN_LANDMARKS.copy()
    opened[MOUTH_LOWER, 1] += 0.3
    shut, wide = (people().exchange_identity(shape, IDENTITIES[0], 0.0) for shape in (closed, opened))
    assert wide[152, 1] - shut[152, 1] == pytest.approx(0.24 * 0.3, rel=0.15)
    assert np.allclose(wide[[10, 55, 285, 4], 1], shut[[10, 55, 285, 4], 1], atol=1e-3)


def test_the_noise_belongs_to_the_person() -> None:
    """Drawn anew for every frame of a video, it would be gone from the mean over frames."""
    model = people()
    first, second = (model.exchange_identity(person(0), IDENTITIES[0], 2.0) for _ in range(2))
    other = draw_identity(7, 0, anybody(4), num_expression=1)
    same_person = draw_identity(7, 0, anybody(4), num_expression=1)
    assert np.array_equal(first, second) and np.array_equal(other.expression_noise, same_person.expression_noise)
    assert not np.array_equal(other.expression_noise, draw_identity(7, 1, anybody(4), num_expression=1).expression_noise)


def test_coordinates_and_shapes_are_inverses() -> None:
    model, coordinates = people(), np.array([0.5, -1.0, 0.2, 1.0, 2.0])
    assert np.allclose(model.coordinates(model.canonical_landmarks(coordinates)), coordinates)


def test_a_blink_survives_the_whole_exchange_in_a_turned_head() -> None:
    for identity in IDENTITIES:
        points = placed(with_opening(with_opening(person(0), LEFT_EYE, 0), MOUTH, 0), yaw=-35)
        result = normalize_pose(people().anonymize(points, identity))[0]
        assert np.abs(openings(result, LEFT_EYE)).max() < 0.02 and np.abs(openings(result, MOUTH)).max() < 0.02
        assert openings(result, RIGHT_EYE)[3] > 0.12


@pytest.mark.parametrize("points", [np.zeros((478, 3)), MEAN_LANDMARKS[:300], np.full((478, 3), np.nan)])
def test_points_without_a_pose_are_not_anonymized(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="points"):
        people().anonymize(points, IDENTITIES[0])


def test_pose_is_applied_as_documented() -> None:
    pose = Pose(10.0, turn("z", 90).T, np.array([5.0, 6, 7]))
    assert np.allclose(pose.apply(np.array([[1.0, 0, 0]])), [[5, 16, 7]])  # a clockwise quarter takes the right to the bottom
