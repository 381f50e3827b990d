"""The engine: what it replaces, what it covers, and that nothing of a detected face gets through."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import KnownFaces, face_at, noise_photo, same, tiny_engine, tiny_model, tiny_processor

import ganon_hf.core.picture_reading
from ganon_hf.core.anonymizer import MAX_PEOPLE, Anonymizer
from ganon_hf.core.cover_shape import outline_mask
from ganon_hf.core.faces import AnonymizationResult, Face, NoFaceError, UnusableImageError, box_of_points, clip_box
from ganon_hf.core.modeling_ganon import GanonModel
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.core.people import draw_identity
from ganon_hf.core.skin_tone import SkinPainter

TWO = {(160, 120): [face_at(45, 60, 50), face_at(115, 60, 56)]}


@pytest.fixture(scope="module")
def engine() -> Anonymizer:
    return tiny_engine()


def inner(face: Face) -> tuple[slice, slice]:
    """Rows and columns well inside a face."""
    x_min, y_min, x_max, y_max = face.box
    width, height = x_max - x_min, y_max - y_min
    return slice(int(y_min + 0.3 * height), int(y_max - 0.3 * height)), slice(int(x_min + 0.3 * width), int(x_max - 0.3 * width))


def box_slices(face: Face, photo: np.ndarray) -> tuple[slice, slice]:
    region = clip_box(face.box, height=photo.shape[0], width=photo.shape[1])
    assert region is not None
    return slice(region[1], region[3]), slice(region[0], region[2])


def run(engine: Anonymizer, photo: np.ndarray, faces: object = None, **options: object) -> tuple[np.ndarray, AnonymizationResult]:
    result = engine(photo, AnonymizeOptions(**{"seed": 7, **options}), faces=faces)  # type: ignore[arg-type]
    return np.asarray(result.image), result


def assert_erased(before: np.ndarray, after: np.ndarray, face: Face) -> None:
    """Every pixel of the face has one color: nothing of the original can be computed from it."""
    erased = np.zeros(before.shape[:2], bool)
    if face.landmarks is None or not np.allclose(box_of_points(face.landmarks), face.box, atol=0.01):
        erased[box_slices(face, before)] = True
    else:
        hull = cv2.convexHull(np.ascontiguousarray(face.landmarks[:, :2]))[:, 0].astype(np.float64)
        erased = outline_mask([hull], (0, 0, before.shape[1], before.shape[0]))
    assert len(np.unique(after[erased], axis=0)) == 1 and len(np.unique(before[erased], axis=0)) > 1


# -- replacing


def test_a_face_is_replaced_and_the_rest_is_untouched(engine: Anonymizer) -> None:
    before = noise_photo()
    after, result = run(engine, before)
    (report,) = result.faces
    assert (report.status, report.reason, result.num_replaced) == ("replaced", "", 1)
    face = face_at(60, 60)
    assert report.box == pytest.approx(face.box)
    here = inner(face)
    correlation = np.corrcoef(before[here].astype(float).ravel(), after[here].astype(float).ravel())[0, 1]
    assert abs(correlation) < 0.2, "nothing of the noise shines through"
    assert same(before[:, 125:], after[:, 125:]) and not same(before[here], after[here]), "beyond the reach of the warp nothing changes"


def test_the_input_is_not_changed(engine: Anonymizer) -> None:
    before = noise_photo()
    run(engine, before)
    assert same(before, noise_photo())


def test_several_faces_are_reported_from_large_to_small_and_are_different_people() -> None:
    after, result = run(tiny_engine(TWO), noise_photo(), output="crop")
    assert [report.status for report in result.faces] == ["replaced"] * 2
    assert result.faces[0].box[0] > result.faces[1].box[0], "the larger one first"
    assert after.shape == (64, 128, 3)
    assert not same(after[:, :64], after[:, 64:])


def test_a_person_keeps_the_number_however_large_the_face_has_become(engine: Anonymizer) -> None:
    near, far, photo = face_at(45, 60, 70), face_at(115, 60, 50), noise_photo()
    options = AnonymizeOptions(seed=7)
    plan = engine.plan(photo, options, faces=[far, near], people=[4, 9])
    (first, second), alone = plan.faces, engine.plan(photo, options, faces=[face_at(60, 60, 90)], people=[4]).faces[0]
    assert first.face.box == near.box and second.face.box == far.box
    assert same(second.identity.shape, alone.identity.shape) and not same(first.identity.shape, alone.identity.shape)
    with pytest.raises(ValueError, match="number for each of the 2 faces, but has 1"):
        engine.plan(photo, options, faces=[far, near], people=[4])


@pytest.mark.parametrize(("height", "size"), [(50, 64), (120, 128), (200, 256), (1000, 1024), (2000, 1024)])
def test_a_face_is_drawn_at_the_size_that_it_has_in_the_photo(engine: Anonymizer, height: int, size: int) -> None:
    """Up to a limit, as it takes memory."""
    photo, face = noise_photo(1200, 1200), face_at(600, 600, height)
    (plan,) = engine.plan(photo, AnonymizeOptions(seed=7), faces=[face]).faces
    assert plan.crop is not None and plan.crop.size == size
    assert engine.generate([plan.inputs])[0].shape == (size, size, 3)  # type: ignore[list-item, union-attr]
    (paper,) = engine.plan(photo, AnonymizeOptions(seed=7, output="crop"), faces=[face]).faces
    assert paper.crop is not None and paper.crop.size == 64


def test_seeds() -> None:
    engine, photo = tiny_engine(), noise_photo()
    assert same(run(engine, photo, seed=3)[0], run(engine, photo, seed=3)[0])
    assert same(run(engine, photo, seed=3)[0], run(tiny_engine(), photo, seed=3)[0]), "in another engine, too"
    results = [run(engine, photo, seed=seed)[0] for seed in (3, 4, None, None, 2**63 - 1)]
    assert len({result.tobytes() for result in results}) == 5


def test_the_seed_reads_no_global_random_state() -> None:
    engine, photo = tiny_engine(), noise_photo()
    first = run(engine, photo)[0]
    np.random.seed(1)
    torch.manual_seed(1)
    assert same(first, run(engine, photo)[0])


def test_the_number_of_threads_changes_no_pixel_and_stays_what_it_was() -> None:
    engine = Anonymizer.from_pretrained(detector=KnownFaces())  # its sums are long enough to be split among threads
    faces = [face_at(100, 110, 120), face_at(260, 110, 100)]
    inputs, before = engine.plan(noise_photo(360, 220), AnonymizeOptions(seed=3), faces=faces).inputs, torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(np.stack(engine.generate(inputs)))  # type: ignore[arg-type]
            with ThreadPoolExecutor(1) as fresh:  # a thread that begins afterwards
                assert torch.get_num_threads() == threads == fresh.submit(torch.get_num_threads).result()
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_company_does_not_change_a_face() -> None:
    """The larger face comes first either way: alone in the photo and with another one it gets the same pixels."""
    large, small = face_at(110, 60, 70), face_at(30, 60, 40)
    photo = noise_photo()
    alone, _ = run(tiny_engine({(160, 120): [large]}), photo)
    together, _ = run(tiny_engine({(160, 120): [small, large]}), photo)
    assert same(alone[:, 70:], together[:, 70:]) and not same(alone, together)


@pytest.mark.parametrize("changes", [{"geometry": "original"}, {"skin_tone": "random"}, {"output": "crop"}])
def test_options_change_the_picture(engine: Anonymizer, changes: dict[str, object]) -> None:
    after, result = run(engine, noise_photo(), **changes)
    assert result.num_replaced == 1 and not same(after, run(engine, noise_photo())[0])


@pytest.mark.parametrize("skin_tone", ["match", "random"])
def test_gray_photos_stay_gray(engine: Anonymizer, skin_tone: str) -> None:
    after, result = run(engine, noise_photo(gray=True), skin_tone=skin_tone)
    assert result.num_replaced == 1
    assert (after.max(axis=2) == after.min(axis=2)).all()


def test_the_photos_tone_needs_no_painter(engine: Anonymizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default not a pixel passes through what gives people a tone of their own."""
    painted: list[np.ndarray] = []

    def paint(self: SkinPainter, image: np.ndarray, *others: np.ndarray) -> np.ndarray:
        painted.append(image)
        return image

    monkeypatch.setattr(SkinPainter, "paint", paint)
    plain = run(engine, noise_photo(), output="crop")[0]
    assert not painted
    assert same(run(engine, noise_photo(), output="crop", skin_tone="random")[0], plain) and len(painted) == 1


def test_a_person_has_one_tone_in_every_photo(engine: Anonymizer) -> None:
    """Whatever the photo; and from light to dark."""

    def median(seed: int, photo: int) -> np.ndarray:
        crop = run(engine, noise_photo(seed=photo), output="crop", skin_tone="random", seed=seed)[0]
        return np.median(crop[24:40, 24:40], axis=(0, 1))

    skin = [median(seed, photo) for seed in range(12) for photo in (1, 2)]
    levels = np.array(skin).reshape(12, 2, 3)
    assert np.abs(levels[:, 0] - levels[:, 1]).max() < 1
    lumas = levels[:, 0] @ [0.299, 0.587, 0.114]
    assert lumas.max() > 1.8 * lumas.min()


def test_crop_output_is_a_synthetic_face_on_black(engine: Anonymizer) -> None:
    after, result = run(engine, noise_photo(), output="crop")
    assert after.shape == (64, 64, 3) and result.num_replaced == 1
    assert (after[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert after[24:40, 24:40].mean() > 40


def test_crop_output_depends_on_no_pixel_of_the_photo(engine: Anonymizer) -> None:
    assert same(run(engine, noise_photo(seed=1), output="crop")[0], run(engine, noise_photo(seed=2), output="crop")[0])


def test_the_published_generator_runs_through_the_same_engine() -> None:
    torch.manual_seed(0)
    model = tiny_model(conditioning="landmarks", image_size=256)
    engine = Anonymizer(model, tiny_processor(conditioning="landmarks", image_size=256), KnownFaces())
    for gray in (False, True):
        after, result = run(engine, noise_photo(gray=gray))
        assert result.num_replaced == 1
        assert not gray or (after.max(axis=2) == after.min(axis=2)).all()


# -- covering


def test_a_face_without_landmarks_is_covered() -> None:
    face, before = face_at(60, 60, landmarks=False), noise_photo()
    after, result = run(tiny_engine({(160, 120): [face]}), before)
    assert result.faces[0].status == "covered" and "no landmarks" in result.faces[0].reason
    assert_erased(before, after, face)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("output", ["photo", "crop"])
def test_what_may_be_no_face_is_covered_and_reported_as_doubtful(landmarks: bool, output: str) -> None:
    face, before = replace(face_at(60, 60, landmarks=landmarks, score=0.55), doubtful=True), noise_photo()
    after, result = run(tiny_engine({(160, 120): [face]}), before, output=output)
    (report,) = result.faces
    assert (report.status, report.reason, report.score) == ("doubtful", "it may be no face", 0.55)
    assert (result.num_replaced, result.num_covered, result.num_doubtful) == (0, 1, 1)
    if output == "photo":
        assert_erased(before, after, face)
    else:
        assert (after == 127).all()


def test_the_detector_decides_what_is_doubtful_not_the_score() -> None:
    """A detector of somebody's own has another scale, and a box drawn by hand means a face."""
    low = face_at(60, 60, landmarks=False, score=0.5)
    assert run(tiny_engine({(160, 120): [low]}), noise_photo())[1].faces[0].status == "covered"
    assert run(tiny_engine(), noise_photo(), faces=[low.box])[1].faces[0].status == "covered"

    class Foreign:  # code loaded from a Hub folder has a class Face of its own
        box, score, landmarks, doubtful = low.box, 0.5, None, True

    assert run(tiny_engine(), noise_photo(), faces=[Foreign()])[1].faces[0].status == "doubtful"


# -- people who do not fit


def stretched(face: Face, factor: float) -> Face:
    """As wide as no head is."""
    assert face.landmarks is not None
    middle = (face.box[0] + face.box[2]) / 2
    points = np.array([middle, 0, 0]) + (face.landmarks - np.array([middle, 0, 0])) * np.array([factor, 1, 1])
    return Face(box_of_points(points), face.score, points)


WIDE = stretched(face_at(80, 60, 70), 1.5)  # so wide that to some people's faces it would be a long way


def test_where_one_person_does_not_fit_another_one_of_the_seed_may(engine: Anonymizer) -> None:
    helped = 0
    for seed in range(30):
        options = AnonymizeOptions(seed=seed)
        first = engine.plan(noise_photo(), options, faces=[WIDE], people=[0])
        plan = engine.plan(noise_photo(), options, faces=[WIDE])
        people = [draw_identity(seed, 0, engine.population, num_expression=3, attempt=attempt) for attempt in range(MAX_PEOPLE)]
        used = [same(plan.faces[0].identity.shape, person.shape) for person in people]
        if first.faces[0].reason and not plan.faces[0].reason:
            helped += 1
            assert used.count(True) == 1 and not used[0], "the plan names the person whose face it is"
            result = engine.compose(plan, engine.generate(plan.inputs))
            again = engine(noise_photo(), options, faces=[WIDE])
            assert result.num_replaced == 1 and same(result.image, again.image), "the seed decides"
        else:  # the first person fits, or nobody does
            assert used[0] and first.faces[0].reason == plan.faces[0].reason
    assert helped >= 2


def test_nobody_else_is_tried_in_a_video(engine: Anonymizer) -> None:
    """There a face would be one person in some frames and another one in the next."""
    for seed in range(12):
        plan = engine.plan(noise_photo(), AnonymizeOptions(seed=seed), faces=[WIDE], people=[5])
        assert same(plan.faces[0].identity.shape, draw_identity(seed, 5, engine.population, num_expression=3).shape)


def test_a_face_that_nobody_can_help_is_covered_with_the_first_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, shifts = tiny_engine(), iter(range(40, 100))
    anonymize = engine.shape_model.anonymize
    monkeypatch.setattr(
        type(engine.shape_model), "anonymize", lambda model, *arguments: anonymize(*arguments) + [float(next(shifts)), 0.0, 0.0]
    )
    face = engine.plan(noise_photo(), AnonymizeOptions(seed=7), faces=[face_at(60, 60)]).faces[0]
    assert "outlines lie too far apart" in face.reason and next(shifts) == 40 + MAX_PEOPLE
    assert same(face.identity.shape, draw_identity(7, 0, engine.population, num_expression=3).shape)


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (face_at(60, 60, yaw=80), "turned too far"),
        (face_at(60, 60, 8), "too small"),
        (face_at(0, 0, 90), "outside"),  # a corner shows a quarter of it
        (Face((30, 30, 90, 90), 0.9, np.full((478, 3), 50.0)), "implausible"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faces_that_cannot_be_replaced_are_covered(face: Face, reason: str) -> None:
    before = noise_photo()
    after, result = run(tiny_engine(), before, faces=[face])
    assert result.faces[0].status == "covered" and reason in result.faces[0].reason
    assert_erased(before, after, face)


def test_a_face_half_outside_is_replaced_where_it_shows() -> None:
    face, before = face_at(0, 60, 70), noise_photo()
    after, result = run(tiny_engine(), before, faces=[face])
    assert result.faces[0].status == "replaced"
    rows = inner(face)[0]
    assert (before[rows, :12] != after[rows, :12]).any(axis=2).mean() > 0.95
    assert same(before[:, 80:], after[:, 80:])


def test_a_face_quite_outside_changes_nothing_and_is_reported() -> None:
    before = noise_photo()
    after, result = run(tiny_engine(), before, faces=[face_at(-200, 60)])
    assert result.faces[0].status == "covered" and same(before, after)


def break_forward(monkeypatch: pytest.MonkeyPatch, engine: Anonymizer, how: object) -> None:
    """``how`` gets the model's inputs and the real images, and returns images or raises."""
    forward = engine.model.forward

    def broken(**inputs: torch.Tensor) -> object:
        output = forward(**inputs)
        output.images = how(inputs, output.images)  # type: ignore[operator]
        return output

    monkeypatch.setattr(engine.model, "forward", broken)


def raise_error(inputs: object, images: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (raise_error, "out of memory"),
        (lambda inputs, images: images * float("nan"), "not finite"),
        (lambda inputs, images: images / 0, "not finite"),
        (lambda inputs, images: images[:, :1], "must be"),
    ],
    ids=["raises", "nan", "infinite", "one channel"],
)
@pytest.mark.parametrize("output", ["photo", "crop"])
def test_a_broken_generator_covers(monkeypatch: pytest.MonkeyPatch, how: object, reason: str, output: str) -> None:
    engine, before = tiny_engine(), noise_photo()
    break_forward(monkeypatch, engine, how)
    after, result = run(engine, before, output=output)
    assert result.faces[0].status == "covered"
    assert "the generator failed" in result.faces[0].reason and reason in result.faces[0].reason
    if output == "photo":
        assert_erased(before, after, face_at(60, 60))
    else:
        assert (after == 127).all()


def test_one_failing_face_does_not_take_the_others_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, before = tiny_engine(TWO), noise_photo()
    (failing, _) = engine.plan(before, AnonymizeOptions(seed=7)).inputs
    break_forward(
        monkeypatch,
        engine,
        lambda inputs, images: images * (torch.nan if torch.equal(inputs["canonical_landmarks"], failing["canonical_landmarks"]) else 1),
    )
    after, result = run(engine, before)
    assert [report.status for report in result.faces] == ["covered", "replaced"]
    assert_erased(before, after, TWO[(160, 120)][1])


def test_a_batch_that_fails_on_an_accelerator_is_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sizes = tiny_engine(TWO), []
    expected = run(engine, noise_photo())[0]
    synthesize = engine._synthesize
    monkeypatch.setattr(type(engine.model), "device", property(lambda model: torch.device("cuda")))

    def full(inputs: list[dict[str, torch.Tensor]]) -> np.ndarray:
        sizes.append(len(inputs))
        if len(inputs) > 1:
            raise torch.OutOfMemoryError("no room for two")
        monkeypatch.undo()
        return synthesize(inputs)

    monkeypatch.setattr(engine, "_synthesize", full)
    assert same(run(engine, noise_photo())[0], expected) and sizes == [2, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_cast_to_half_precision_still_replaces(dtype: torch.dtype) -> None:
    engine = Anonymizer(tiny_model().to(dtype), tiny_processor(), KnownFaces())
    after, result = run(engine, noise_photo(), skin_tone="random")
    assert result.num_replaced == 1 and after.dtype == np.uint8
    exact, _ = run(tiny_engine(), noise_photo(), skin_tone="random")
    assert np.abs(after.astype(int) - exact).mean() < 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("part", ["prior.luma", "refinement.out.bias"])
def test_weights_that_are_not_finite_cover_the_face(part: str, value: float) -> None:
    engine, before = tiny_engine(refinement_channels=8), noise_photo()
    engine.model.get_parameter(part).data.fill_(value)
    after, result = run(engine, before)
    assert result.faces[0].status == "covered" and "not finite" in result.faces[0].reason
    assert_erased(before, after, face_at(60, 60))


def test_a_generator_that_returns_the_photo_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat photo and a flat face of its color: the compositing changes nothing, so nobody can say that the face is gone."""
    engine, before = tiny_engine(), np.full((120, 160, 3), 128, np.uint8)
    break_forward(monkeypatch, engine, lambda inputs, images: torch.full_like(images, 128 / 127.5 - 1))
    _, result = run(engine, before)
    assert result.faces[0].status == "covered" and "did not change" in result.faces[0].reason


def test_steps_refuse_what_does_not_belong_together(engine: Anonymizer) -> None:
    plan = engine.plan(noise_photo(), AnonymizeOptions(seed=1))
    with pytest.raises(ValueError, match="1 synthetic faces are needed.*got 0"):
        engine.compose(plan, [])


def properties(model: GanonModel) -> dict[str, tuple[object, ...]]:
    """What an engine could change about a model without changing its values, and the values."""
    found: dict[str, tuple[object, ...]] = {name: (module.training,) for name, module in model.named_modules()}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found[name] = (id(tensor), tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad, tensor.sum().item())
    return found


@pytest.mark.parametrize(
    "changes", [{"refinement_channels": 8}, {"conditioning": "landmarks", "image_size": 256}], ids=["mesh", "landmarks"]
)
def test_the_model_is_used_and_not_changed(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    next(model.parameters()).requires_grad_(True)
    before = properties(model)
    assert any(values[4] for values in before.values() if len(values) > 1)
    sizes = {name: changes[name] for name in ("conditioning", "image_size") if name in changes}
    engine = Anonymizer(model, tiny_processor(**sizes), KnownFaces())
    assert run(engine, noise_photo(), skin_tone="random")[1].num_replaced == 1
    assert engine.model is model and properties(model) == before


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training mode.*call model\.eval\(\)"):
        Anonymizer(tiny_model().train(), tiny_processor())
    engine = tiny_engine(refinement_channels=8)
    assert engine.model.refinement is not None
    engine.model.refinement.train()  # a part of it, later
    with pytest.raises(ValueError, match="training mode"):
        run(engine, noise_photo())
    assert not engine.model.training and engine.model.refinement.training, "refused, not changed"


@pytest.mark.parametrize("count", [1, 3])
def test_without_managing_threads_torchs_count_is_left_alone(count: int) -> None:
    """And the faces are the same but for rounding."""
    managed, left = tiny_engine(TWO), Anonymizer(tiny_model(), tiny_processor(), KnownFaces(TWO), manage_threads=False)
    seen: dict[Anonymizer, list[int]] = {managed: [], left: []}
    for engine, counts in seen.items():
        engine.model.register_forward_pre_hook(lambda *_, counts=counts: counts.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        pictures = [run(engine, noise_photo())[0] for engine in seen]
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert seen == {managed: [1, 1], left: [count, count]} and after == count
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_model_and_processor_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit.*64 px.*32 px"):
        Anonymizer(tiny_model(), tiny_processor(image_size=32))


# -- faces, options, inputs


def test_no_face() -> None:
    engine, before = tiny_engine({}), noise_photo()
    with pytest.raises(NoFaceError):
        run(engine, before)
    after, result = run(engine, before, on_no_face="keep")
    assert result.faces == () and same(before, after)
    crop, _ = run(engine, before, output="crop", on_no_face="keep")
    assert crop.shape == (64, 64, 3) and not crop.any()


def test_detector_gets_the_options() -> None:
    faces = {(160, 120): [face_at(40, 60, 30, score=0.6), face_at(110, 60, 60, score=0.9)]}
    assert len(run(tiny_engine(faces), noise_photo(), min_score=0.7)[1].faces) == 1
    assert len(run(tiny_engine(faces), noise_photo(), min_face_size=40)[1].faces) == 1
    assert len(run(tiny_engine(faces), noise_photo())[1].faces) == 2


def test_faces_given_by_hand_are_not_searched_for() -> None:
    engine = tiny_engine()
    _, result = run(engine, noise_photo(), faces=[face_at(100, 50)])
    assert result.faces[0].box == pytest.approx(face_at(100, 50).box) and result.num_replaced == 1
    assert run(engine, noise_photo(), faces=[], on_no_face="keep")[1].faces == ()
    assert engine.detector.calls == 0  # type: ignore[attr-defined]


def test_boxes_given_by_hand_get_landmarks_from_the_detector_or_are_covered() -> None:
    class WithMesh(KnownFaces):
        def landmarks(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray | None:
            return face_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[3] - box[1]).landmarks

    box = face_at(60, 60).box
    assert run(Anonymizer(tiny_model(), tiny_processor(), WithMesh()), noise_photo(), faces=[box])[1].num_replaced == 1
    assert run(tiny_engine(), noise_photo(), faces=[box])[1].num_covered == 1
    with pytest.raises(ValueError, match="x_max > x_min"):
        run(tiny_engine(), noise_photo(), faces=[(5, 5, 1, 9)])


@pytest.mark.parametrize("kind", ["path", "text", "picture", "array", "gray array"])
def test_photos_of_every_kind(engine: Anonymizer, tmp_path: Path, kind: str) -> None:
    gray = kind == "gray array"
    photo = noise_photo(gray=gray)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    source = {"path": path, "text": str(path), "picture": Image.fromarray(photo), "array": photo, "gray array": photo[..., 0]}[kind]
    assert same(engine(source, AnonymizeOptions(seed=7)).image, run(engine, photo)[0])


def test_orientation_is_applied_first(engine: Anonymizer, tmp_path: Path) -> None:
    photo, exif = noise_photo(), Image.Exif()
    exif[0x0112] = 6  # the picture has to be turned clockwise
    Image.fromarray(np.rot90(photo)).save(tmp_path / "turned.png", exif=exif)
    assert same(engine(tmp_path / "turned.png", AnonymizeOptions(seed=7)).image, run(engine, photo)[0])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (np.zeros((0, 5, 3), np.uint8), UnusableImageError),
        (np.zeros((5, 5, 4), np.uint8), UnusableImageError),
        (np.full((5, 5, 3), 255, np.float32), UnusableImageError),
        ("no-such-file.jpg", UnusableImageError),
        ("x" * 5000, UnusableImageError),  # longer than any file name may be
        (b"bytes", TypeError),
        (None, TypeError),
    ],
    ids=["empty", "four channels", "float", "missing", "long text", "bytes", "nothing"],
)
def test_what_is_no_photo_raises(engine: Anonymizer, source: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine(source)


def test_hostile_files_name_themselves(engine: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise_photo()).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with pytest.raises(UnusableImageError, match="cut.png"):
        engine(tmp_path / "cut.png")
    monkeypatch.setattr(ganon_hf.core.picture_reading, "MAX_PIXELS", 1000)
    with pytest.raises(UnusableImageError, match="whole.png"):
        engine(str(tmp_path / "whole.png"))


def test_loading_from_a_folder_gives_the_same_engine(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    loaded = Anonymizer.from_pretrained(tmp_path, detector=KnownFaces())
    assert same(run(loaded, noise_photo())[0], run(tiny_engine(), noise_photo())[0])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tiny_model(refinement_channels=8).save_pretrained(tmp_path)
    tiny_model().config.save_pretrained(tmp_path)  # a configuration without the refinement
    tiny_processor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="do not fit"):
        Anonymizer.from_pretrained(tmp_path)
