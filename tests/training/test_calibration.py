"""Calibration: what most synthetic faces lack beside the real ones is added to the bank; what a few real faces wear is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from script_loading import load_script
from tiny import face_at, tiny_engine, tiny_model
from training_faces import face_rows

from ganon_hf.core.face_mesh import LEFT_IRIS, RIGHT_IRIS, UV_MAP
from ganon_hf.core.look import SEXES, Look
from ganon_hf.core.model_loading import load_model
from ganon_hf.training.calibration import Bias, _fade, drawn_looks, measure_bias, remove_bias, replaced_faces
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.shards import SCHEMA, FaceShards
from ganon_hf.training.textures import FaceSample

SIZE, TEXTURE = 96, 64
UPPER_LIP, LOWER_LIP = 13, 14
NOSE, CHEEK = 4, 50  # landmarks on skin, far from each other
Pair = tuple[FaceSample, FaceSample]
EVERYBODY = np.arange(24)  # of the bank of a tiny model


def at_rest(points: np.ndarray) -> np.ndarray:
    """Landmarks with closed lips."""
    points = points.copy()
    points[LOWER_LIP] = points[UPPER_LIP] + 1e-3
    return points


FACE = at_rest(face_at(SIZE / 2, SIZE / 2, 80).landmarks)


def model(**changes: object):  # type: ignore[no-untyped-def]
    return tiny_model(people_texture_size=TEXTURE, mouth_box=(20, 44, 24, 12), **changes)


def sample(*, dark: int | None = None, points: np.ndarray = FACE, level: int = 150) -> FaceSample:
    """An evenly colored face; ``dark`` is a landmark around which it is darker."""
    picture = np.full((SIZE, SIZE, 3), (level + 20, level, level - 20), np.uint8)
    if dark is not None:
        x, y = np.mgrid[:SIZE, :SIZE][::-1] + 0.5
        picture[np.hypot(x - points[dark, 0], y - points[dark, 1]) < 6] -= 40
    return FaceSample(picture, points, 0, False, True, 1.0)


def pairs(count: int = 9, *, worn: int = 0) -> Iterator[Pair]:
    """Real faces, of which the first ``worn`` have a dark cheek, and synthetic ones that all have a dark nose."""
    return iter([(sample(dark=CHEEK if number < worn else None), sample(dark=NOSE)) for number in range(count)])


def at(bias: Bias, landmark: int) -> float:
    column, row = np.round(UV_MAP[landmark] * TEXTURE - 0.5).astype(int)
    return float(bias.luma[row, column])


def test_what_all_synthetic_faces_have_is_measured_and_what_few_real_ones_wear_is_not() -> None:
    bias = measure_bias(model(), pairs(worn=3))
    assert at(bias, NOSE) > 15, "synthetic noses are darker by 40"
    assert abs(at(bias, CHEEK)) < 5, "a third of the real faces has a dark cheek"
    everywhere = measure_bias(model(), pairs(worn=9))
    assert at(everywhere, CHEEK) < -15, "what all real faces have counts"


def test_light_is_no_bias() -> None:
    bias = measure_bias(model(), iter([(sample(level=150), sample(level=90))] * 3))
    assert np.abs(bias.luma).max() < 2 and np.abs(bias.shape).max() < 1e-6


def test_the_shape_is_that_of_resting_faces() -> None:
    longer = FACE * np.array([1, 1.1, 1])
    opened = longer.copy()
    opened[LOWER_LIP, 1] += 20
    resting = measure_bias(model(), iter([(sample(points=longer), sample())] * 2)).shape
    assert np.abs(resting).max() > 0.01
    with_open_mouth = [(sample(points=longer), sample())] * 2 + [(sample(points=opened), sample())]
    assert np.allclose(measure_bias(model(), iter(with_open_mouth)).shape, resting)
    with pytest.raises(ValueError, match="some of them at rest"):
        measure_bias(model(), iter([(sample(points=opened), sample())]))


def test_irises_that_are_too_small_are_enlarged() -> None:
    large = FACE.copy()
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        large[list(iris)] = FACE[iris[0]] + 1.2 * (FACE[list(iris)] - FACE[iris[0]])
    assert measure_bias(model(), iter([(sample(points=large), sample())] * 3)).irises == pytest.approx(1.2, rel=0.02)


def test_everybody_in_the_bank_changes_by_the_bias() -> None:
    calibrated, before = model(), model()
    y, x = (np.mgrid[:TEXTURE, :TEXTURE] + 0.5) / TEXTURE
    luma = (12 * np.sin(9 * x) * np.cos(50 * y)).astype(np.float32)
    bias = Bias(luma, np.full((2, TEXTURE // 2, TEXTURE // 2), -1.5, np.float32), 1.2, np.full(4, 0.1), 1.1, np.ones((TEXTURE, TEXTURE)))
    remove_bias(calibrated, bias, EVERYBODY)
    people, shares = torch.tensor([[5]]), torch.ones(1, 1, 1 + len(before.people.regions))
    change = [
        after - earlier
        for after, earlier in zip(calibrated.people.residual(people, shares), before.people.residual(people, shares), strict=True)
    ]
    face = face_mask()
    assert np.abs(change[0][0, 0].numpy() - luma)[face].max() < 1.5, "rounding of the detail and of the broad structure"
    assert np.abs(change[1][0].numpy() + 1.5)[:, face[::2, ::2]].max() < 0.5
    assert torch.equal(calibrated.people.mouth_luma, (before.people.mouth_luma * 1.2).round().clamp(max=255).to(torch.uint8))
    assert torch.allclose(calibrated.geometry.people_shapes - before.geometry.people_shapes, torch.tensor(0.1), atol=1e-5)
    assert torch.allclose(calibrated.geometry.people_irises, 1.1 * before.geometry.people_irises)


def test_only_those_change_who_are_meant() -> None:
    calibrated, before = model(), model()
    who = np.array([1, 4])
    pattern = (9 * np.sin(np.arange(TEXTURE))[:, None] * np.ones((1, TEXTURE))).astype(np.float32)
    tint = np.stack([pattern[::2, ::2]] * 2)
    remove_bias(calibrated, Bias(pattern, tint, 1.3, np.full(4, 0.1), 1.1, np.ones((TEXTURE, TEXTURE))), who, mouths=False)
    others = np.setdiff1d(EVERYBODY, who)
    for name in ("broad", "luma", "chroma"):
        assert torch.equal(getattr(calibrated.people, name)[others], getattr(before.people, name)[others]), name
        assert not torch.equal(getattr(calibrated.people, name)[who], getattr(before.people, name)[who]), name
    grown = calibrated.geometry.people_irises != before.geometry.people_irises
    assert grown.nonzero().flatten().tolist() == who.tolist()
    moved = calibrated.geometry.people_shapes != before.geometry.people_shapes
    assert moved.any(dim=1).nonzero().flatten().tolist() == who.tolist()
    for name in ("mouth_luma", "mouth_chroma"):
        assert torch.equal(getattr(calibrated.people, name), getattr(before.people, name)), "mouths belong to everybody"


def test_people_of_a_group_stay_as_different_as_they_were_and_their_mean_is_limited() -> None:
    calibrated = model()
    calibrated.geometry.people_shapes.copy_(torch.linspace(-2, 2, 24)[:, None].expand(24, 4))
    before = calibrated.geometry.people_shapes.clone()
    plain = np.zeros((TEXTURE, TEXTURE), np.float32)
    for _ in range(5):
        bias = Bias(plain, np.zeros((2, TEXTURE // 2, TEXTURE // 2), np.float32), 1.0, np.array([1.2, -1.2, 0.1, 0]), 1.3, plain)
        remove_bias(calibrated, bias, EVERYBODY)
    assert calibrated.geometry.people_irises.tolist() == pytest.approx([1.6] * len(EVERYBODY)), "irises have a limit, too"
    after = calibrated.geometry.people_shapes
    assert torch.allclose(after - after.mean(dim=0), before - before.mean(dim=0), atol=1e-5)
    assert after.mean(dim=0).tolist() == pytest.approx([5, -5, 0.5, 0], abs=1e-4)


def test_what_adults_have_as_well_is_not_what_children_have() -> None:
    children = measure_bias(model(), iter([(sample(dark=CHEEK), sample(dark=NOSE))] * 3))
    adults = measure_bias(model(), iter([(sample(), sample(dark=NOSE))] * 3))
    bias = children.beyond(adults)
    assert at(bias, CHEEK) < -15 and abs(at(bias, NOSE)) < 5
    assert bias.mouth == 1 and np.abs(bias.shape).max() < 1e-6


def test_where_only_one_side_is_seen_nothing_is_known() -> None:
    halves = np.ones((TEXTURE, TEXTURE), np.float32)
    seen = halves.copy()
    seen[: TEXTURE // 2], seen[:, TEXTURE // 2 :] = 0.5, 0  # few children show the upper half, and none the right one
    tint = np.ones((2, TEXTURE // 2, TEXTURE // 2), np.float32)
    children = Bias(20 * seen, 4 * tint * seen[::2, ::2], 1.0, np.zeros(4), 1.2, seen)
    difference = children.beyond(Bias(12 * halves, tint, 1.0, np.zeros(4), 0.8, halves))
    assert (difference.luma[:, TEXTURE // 2 :] == 0).all() and (difference.chroma[..., TEXTURE // 4 :] == 0).all()
    assert np.allclose(difference.luma[TEXTURE // 2 :, : TEXTURE // 2], 8) and np.allclose(
        difference.luma[: TEXTURE // 2, : TEXTURE // 2], 4
    )
    assert np.allclose(difference.chroma[:, TEXTURE // 4 :, : TEXTURE // 4], 3)
    assert difference.irises == pytest.approx(1.5)


def table(count: int) -> pa.Table:
    """Prepared faces at rest, some of them gray."""
    rows = face_rows(count)
    for row in rows:
        row["landmarks"] = at_rest(np.reshape(row["landmarks"], (-1, 3))).ravel().tolist()  # type: ignore[arg-type]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def face_mask() -> np.ndarray:
    """(T, T) bool, well inside the texture's mesh."""
    y, x = (np.mgrid[:TEXTURE, :TEXTURE] + 0.5) / TEXTURE - 0.5
    return np.hypot(x, y) < 0.4


def test_a_calibrated_bank_has_less_bias() -> None:
    """Faces of the bank itself, with a dark nose that they do not have, as if they were real: two rounds take most of it off."""
    faces = FaceShards.from_table(table(9))
    engine = tiny_engine(people_texture_size=TEXTURE, mouth_box=(20, 44, 24, 12))

    def compare() -> Bias:
        return measure_bias(engine.model, replaced_faces(engine, faces, np.flatnonzero(~faces.grayscale)))

    first = compare()
    remove_bias(engine.model, first, EVERYBODY)
    second = compare()
    assert np.square(second.luma).mean() < 0.5 * np.square(first.luma).mean()


def test_pairs_are_real_faces_and_what_replaces_them() -> None:
    faces = FaceShards.from_table(pa.Table.from_pylist(face_rows(4), schema=SCHEMA))
    found = list(replaced_faces(tiny_engine(), faces, [1, 2]))
    assert [np.array_equal(real.image, faces.image(row)) for (real, _), row in zip(found, (1, 2), strict=True)] == [True, True]
    for real, synthetic in found:
        assert not np.array_equal(real.image, synthetic.image)
        assert 0 < np.abs(real.landmarks - synthetic.landmarks)[:, :2].max() < 30


def test_synthetic_people_of_a_given_look_can_be_asked_for() -> None:
    faces = FaceShards.from_table(pa.Table.from_pylist(face_rows(4), schema=SCHEMA))
    engine = tiny_engine()
    looks = []
    plan = engine.plan
    engine.plan = lambda photo, options, **more: looks.append(options.look) or plan(photo, options, **more)  # type: ignore[method-assign]
    assert len(list(replaced_faces(engine, faces, [1, 2], "toddler"))) == 2
    assert looks == ["toddler", "toddler"]


@pytest.mark.parametrize("conditioning", ["landmarks", "mesh"])
def test_without_a_bank_or_faces_nothing_is_calibrated(conditioning: str) -> None:
    some = tiny_model(conditioning=conditioning, image_size=256 if conditioning == "landmarks" else 64)
    with pytest.raises(ValueError, match="bank"):
        measure_bias(some, iter([]))


def test_the_script_changes_nothing_but_the_bank(tmp_path: Path) -> None:
    save_model(model(), tmp_path / "model")
    before = load_model(str(tmp_path / "model"))
    shards = str(tmp_path / "train.parquet")
    pq.write_table(table(6), shards)
    load_script("fit/calibrate").main([str(tmp_path / "model"), shards, "--output-dir", str(tmp_path / "out"), "--rounds", "1"])
    changed = {
        name for name, value in load_model(str(tmp_path / "out")).state_dict().items() if not torch.equal(value, before.state_dict()[name])
    }
    assert changed and all(name.startswith(("people.", "geometry.people_shapes", "geometry.people_irises")) for name in changed)
    assert "people.luma" in changed and "people.regions" not in changed


def test_the_script_compares_women_men_the_young_and_beards_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody, women, men, young, old, beards are measured in turn; each of them is added to those alone whom it belongs to."""
    some = model()
    looks = some.geometry.people_looks
    looks.zero_()
    looks[:, 0] = torch.arange(len(looks)) % 5  # toddler, child, young, middle, old
    looks[:12, 1], looks[12:, 1] = SEXES.index("woman"), SEXES.index("man")
    looks[:, 2] = (torch.arange(len(looks)) >= 20) & (looks[:, 0] >= 2)  # children have none
    save_model(some, tmp_path / "model")
    before = load_model(str(tmp_path / "model"))
    shards = str(tmp_path / "train.parquet")
    pq.write_table(table(9), shards)
    script = load_script("fit/calibrate")
    monkeypatch.setattr(script, "LEAST", 1)
    monkeypatch.setattr(script, "LEAST_AT_REST", 2)
    drawn = [Look("young", "woman", False), Look("middle", "man", True), Look("old", "man", False)]
    monkeypatch.setattr(script, "drawn_looks", lambda engine, faces, rows: [drawn[place % 3] for place in range(len(rows))])
    asked: list[int] = []

    def measured(model: object, pairs: Iterator[Pair], **_: float) -> Bias:
        asked.append(len(list(pairs)))
        number = len(asked)
        tint = np.zeros((2, TEXTURE // 2, TEXTURE // 2), np.float32)
        luma = np.full((TEXTURE, TEXTURE), number, np.float32)
        return Bias(luma, tint, 1.0, np.full(4, 0.01 * 2**number), 1.0, luma, 1 if number == 5 else 9)  # few old faces are at rest

    monkeypatch.setattr(script, "measure_bias", measured)
    script.main([str(tmp_path / "model"), shards, "--output-dir", str(tmp_path / "out"), "--rounds", "1"])
    assert asked[1] + asked[2] == asked[0] and sum(asked[3:]) == asked[0] and len(asked) == 6
    after = load_model(str(tmp_path / "out"))
    adults = looks[:, 0] >= 2
    women, men = (adults & (looks[:, 1] == SEXES.index(sex)) for sex in ("woman", "man"))
    young, old, beards = looks[:, 0] == 2, looks[:, 0] == 4, looks[:, 2] == 1
    moved = (after.geometry.people_shapes - before.geometry.people_shapes)[:, 0] / 0.01
    assert torch.allclose(moved, 2 + 4.0 * women + 8 * men + 16 * young, atol=0.1), "shapes of old people and of beards stay"
    shares = torch.ones(len(looks), 1, 1 + len(after.people.regions))
    everyone = torch.arange(len(looks))[:, None]
    lighter = (after.people.residual(everyone, shares)[0] - before.people.residual(everyone, shares)[0])[:, 0]
    forehead, chin = (TEXTURE // 4, TEXTURE // 2), (TEXTURE * 7 // 8, TEXTURE // 2)
    elsewhere = 1 + 2.0 * women + 3 * men + 4 * young + 5 * old
    assert torch.allclose(lighter[:, *forehead], elsewhere, atol=1.5)
    assert torch.allclose(lighter[:, *chin], elsewhere + 6 * beards, atol=1.5), "of bearded people, the beard alone"


def test_blurring_brings_nothing_into_eyes_and_mouth() -> None:
    difference = np.full((TEXTURE, TEXTURE), 8.0, np.float32)
    difference[30:40, 20:44] = 0
    difference[10] = -8  # a line
    result = load_script("fit/calibrate").blurred(difference)
    assert (result[30:40, 20:44] == 0).all() and np.allclose(result[45:, :], 8, atol=0.01)
    assert result[29, 30] == pytest.approx(8, abs=0.1), "and takes nothing away beside them"
    assert result[10, 30] > -6, "lines are blurred"


def test_what_hardly_a_face_shows_is_not_known() -> None:
    """However large a share of a small group it is: the median of a few faces would be one of theirs."""
    seen = np.ones((100, TEXTURE, TEXTURE), bool)
    seen[12:, 0] = False
    seen[25:, 1] = False
    assert _fade(seen)[:3, 0].tolist() == pytest.approx([0.2, 1, 1])
    assert _fade(seen[:50])[:3, 0].tolist() == pytest.approx([0.2, 1, 1])


def test_the_look_that_is_drawn_is_that_of_the_synthetic_person(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = FaceShards.from_table(pa.Table.from_pylist(face_rows(4), schema=SCHEMA))
    engine, read = tiny_engine(), {}
    for row, look in ((0, Look("old", "man", True)), (1, Look("young", "woman", False)), (2, Look("child", "unsure", False))):
        read[faces.image(row).tobytes()] = look
    monkeypatch.setattr("ganon_hf.core.planning.FacePlanner.look_of", lambda self, photo, face, options: read[photo.tobytes()])
    looks = drawn_looks(engine, faces, [2, 0, 1])
    assert [(look.age, look.sex) for look in looks] == [("child", "unsure"), ("old", "man"), ("young", "woman")]


def test_the_script_for_children_changes_nothing_but_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = model()
    some.geometry.people_looks[:, 0] = torch.arange(len(some.geometry.people_looks)) % 5
    save_model(some, tmp_path / "model")
    before = load_model(str(tmp_path / "model"))
    shards = str(tmp_path / "train.parquet")
    pq.write_table(table(9), shards)
    script = load_script("fit/children")
    persons = FaceShards.from_table(table(9)).persons
    words = ("toddler, unsure", "child, unsure", "young, woman", "middle, man", "")
    monkeypatch.setattr(script, "read_table", lambda path: {int(p): (words[n % 5], False) for n, p in enumerate(persons)})
    asked, replaced = [], script.replaced_faces
    monkeypatch.setattr(
        script, "replaced_faces", lambda engine, faces, rows, look: asked.append((look, rows)) or replaced(engine, faces, rows, look)
    )
    script.main([str(tmp_path / "model"), shards, "--output-dir", str(tmp_path / "out"), "--rounds", "1"])
    after = load_model(str(tmp_path / "out"))
    for name, value in after.state_dict().items():
        if not torch.equal(value, before.state_dict()[name]):
            assert name.removeprefix("geometry.people_") in ("shapes", "irises", "lids") or name.removeprefix("people.") in (
                "broad",
                "luma",
                "chroma",
            ), name
            changed = (value != before.state_dict()[name]).reshape(len(value), -1).any(dim=1).nonzero().flatten() % 5
            assert set(changed.tolist()) == {0, 1}, f"{name}: toddlers and children"
    assert not torch.equal(after.people.broad, before.people.broad)
    assert {look for look, _ in asked[:3]} == {"young, woman", "middle, man"}, "first the adults"
    assert [look for look, _ in asked[3:]] == ["toddler, unsure", "toddler, unsure", "child, unsure"]
    monkeypatch.setattr(script, "read_table", lambda path: {})
    with pytest.raises(ValueError, match="none of young or middle"):
        script.main([str(tmp_path / "model"), shards, "--output-dir", str(tmp_path / "none")])
