"""Both pipelines: the same pixels as the engine, whatever comes in and however it is batched."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import KnownFaces, face_at, noise_photo, same, tiny_engine, tiny_model, tiny_processor
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

import ganon_hf
from ganon_hf.core.faces import NoFaceError, UnusableImageError
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.core.pipeline_ganon import FaceAnonymizationPipeline
from ganon_hf.core.task import TASK

# Photos are told apart by their size: none, one, three faces, and one whose face can only be covered.
FACES = {
    (90, 90): [],
    (160, 120): [face_at(60, 60)],
    (200, 100): [face_at(35, 50, 40), face_at(90, 50, 50), face_at(160, 50, 60)],
    (100, 100): [face_at(50, 50, landmarks=False)],
}
PHOTOS = {size: noise_photo(*size) for size in FACES}
ALL = list(PHOTOS.values())


def tiny_pipeline(**arguments: Any) -> FaceAnonymizationPipeline:
    """It keeps photos without a face, because one of ALL has none."""
    parts = {"model": tiny_model(), "image_processor": tiny_processor(), "detector": KnownFaces(FACES), "device": "cpu"}
    return pipeline(TASK, **{**parts, "on_no_face": "keep", **arguments})


@pytest.fixture(scope="module")
def pipe() -> FaceAnonymizationPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    """What the engine makes of ALL with seed 7."""
    engine = tiny_engine(FACES)
    return [engine(photo, AnonymizeOptions(seed=7, on_no_face="keep")).to_dict() for photo in ALL]


def agree(results: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return len(results) == len(expected) and all(
        same(one["image"], two["image"]) and one["faces"] == two["faces"] for one, two in zip(results, expected, strict=True)
    )


# -- one engine, three doors


def test_all_doors_lead_to_the_same_pixels(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    assert agree([pipe(photo, seed=7) for photo in ALL], expected)
    statuses = [[face["status"] for face in result["faces"]] for result in expected]
    assert statuses == [[], ["replaced"], ["replaced"] * 3, ["covered"]]
    assert set(expected[1]["faces"][0]) == {"box", "score", "status", "reason", "look", "kept"}
    assert set(expected[1]["faces"][0]["box"]) == {"xmin", "ymin", "xmax", "ymax"}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 64])
def test_batch_size_changes_no_pixel(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]], batch_size: int) -> None:
    assert agree(pipe(ALL * 2, seed=7, batch_size=batch_size), expected * 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_nearly_the_same_pixels(tmp_path: Path, expected: list[dict[str, Any]], dtype: torch.dtype) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    half = pipeline(TASK, model=str(tmp_path), dtype=dtype, device="cpu", detector=KnownFaces(FACES), on_no_face="keep")
    for result, exact in zip([half(photo, seed=7) for photo in ALL], expected, strict=True):
        assert [face["status"] for face in result["faces"]] == [face["status"] for face in exact["faces"]]
        assert np.abs(np.asarray(result["image"]).astype(int) - np.asarray(exact["image"])).mean() < 1


def test_faces_of_many_photos_share_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, sizes = tiny_pipeline(), []
    generate = pipe.engine.generate
    monkeypatch.setattr(pipe.engine, "generate", lambda inputs: sizes.append(len(inputs)) or generate(inputs))
    pipe([PHOTOS[(200, 100)]] * 3, batch_size=4)
    assert sizes == [4, 4, 1]


def test_bundled_weights(astronaut: Image.Image) -> None:
    detector = KnownFaces({(512, 512): [face_at(226, 124, 107)]})
    result = pipeline(TASK, detector=detector, device="cpu")(astronaut, seed=7)
    assert [face["status"] for face in result["faces"]] == ["replaced"]
    engine = ganon_hf.Anonymizer.from_pretrained(detector=detector)
    assert same(result["image"], engine(astronaut, AnonymizeOptions(seed=7)).image)


@pytest.mark.detection
def test_the_real_detector_through_the_pipeline(astronaut_path: Path) -> None:
    result = tiny_pipeline(detector=None)(astronaut_path, seed=7)
    (face,) = result["faces"]
    assert face["status"] == "replaced" and abs(face["box"]["xmin"] - 180) < 15


# -- what comes in


@pytest.mark.parametrize("kind", ["text", "path", "picture", "array"])
def test_single_photos(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]], tmp_path: Path, kind: str) -> None:
    photo, path = PHOTOS[(160, 120)], tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    source = {"text": str(path), "path": path, "picture": Image.fromarray(photo), "array": photo}[kind]
    result = pipe(source, seed=7)
    assert isinstance(result, dict) and agree([result], [expected[1]])
    assert isinstance(result["image"], Image.Image) and result["image"].mode == "RGB"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_tensors(pipe: FaceAnonymizationPipeline, diffusion: Any, expected: list[dict[str, Any]], dtype: torch.dtype) -> None:
    """As torchvision makes them: (3, height, width), whole numbers or floats in [0, 1]; four axes are several photos."""
    photo = torch.from_numpy(PHOTOS[(160, 120)]).permute(2, 0, 1)
    photo = photo if dtype == torch.uint8 else photo.to(dtype) / 255
    assert agree([pipe(photo, seed=7)], [expected[1]])
    assert agree(pipe(torch.stack([photo, photo]), seed=7), [expected[1]] * 2)
    assert agree(pipe([photo, photo], seed=7), [expected[1]] * 2)
    both = diffusion(torch.stack([photo, photo]), seed=7)
    assert same(both.images[0], expected[1]["image"]) and len(both.images) == 2


def test_arrays_of_floats_and_gray_tensors(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    photo = PHOTOS[(160, 120)]
    assert agree([pipe(photo.astype(np.float32) / 255, seed=7)], [expected[1]])
    assert agree(pipe(np.stack([photo, photo]), seed=7), [expected[1]] * 2)
    gray = pipe(torch.from_numpy(photo[None, ..., 0]), seed=7)["image"]
    assert same(gray, pipe(photo[..., 0], seed=7)["image"])
    assert pipe(torch.from_numpy(photo).permute(2, 0, 1).to(torch.bfloat16) / 255, seed=7)["faces"][0]["status"] == "replaced"


def test_a_drawn_seed_makes_the_result_again(pipe: FaceAnonymizationPipeline, diffusion: Any) -> None:
    first = pipe(ALL[1])
    assert same(pipe(ALL[1], seed=first["seed"])["image"], first["image"])
    drawn = diffusion(ALL[1:3])
    for photo, image, seed in zip(ALL[1:3], drawn.images, drawn.seeds, strict=True):
        assert same(diffusion(photo, seed=seed).images[0], image)


@pytest.mark.parametrize("container", [list, tuple])
def test_lists_give_lists(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]], container: type) -> None:
    results = pipe(container(ALL), seed=7)
    assert isinstance(results, list) and agree(results, expected)
    assert pipe(container()) == []
    assert len(pipe(container(ALL[:1]), seed=7)) == 1


def test_generators_are_read_as_results_are_asked_for(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    read = []

    def endless() -> Iterator[np.ndarray]:
        for number in itertools.count():
            read.append(number)
            yield ALL[number % len(ALL)]

    results = iter(pipe(endless(), seed=7, batch_size=2))
    assert read == [], "nothing is read before the first result is asked for"
    assert agree(list(itertools.islice(results, 2)), expected[:2])
    assert len(read) <= 4


def test_a_stream_gives_all_its_results(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    results = pipe(iter(ALL * 2), seed=7, batch_size=3)
    assert not isinstance(results, list) and agree(list(results), expected * 2)
    assert list(pipe(iter([]))) == []


class Photos(torch.utils.data.Dataset):
    """A map-style dataset that, like many, never says IndexError."""

    def __len__(self) -> int:
        return len(ALL)

    def __getitem__(self, index: int) -> np.ndarray:
        return ALL[index % len(ALL)]


class Rows(Photos):
    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        return {"image": super().__getitem__(index), "face": "x", "label": index}


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self) -> Iterator[np.ndarray]:
        yield from ALL


@pytest.mark.parametrize("dataset", [Photos(), Rows(), KeyDataset(Rows(), "image"), Stream()], ids=["photos", "rows", "key", "stream"])
def test_torch_datasets(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]], dataset: Any) -> None:
    results = pipe(dataset, seed=7, batch_size=2)
    assert not isinstance(results, list) and agree(list(results), expected)


def test_rows_without_an_image_say_so(pipe: FaceAnonymizationPipeline) -> None:
    (result,) = pipe([{"photo": ALL[0], "label": 3}])
    assert "'image'" in result["error"] and "'photo'" in result["error"]


def test_hugging_face_datasets(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(photo) for photo in ALL], "label": [0, 1, 2, 3]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    for inputs in (table, table["image"], KeyDataset(table, "image"), table.to_iterable_dataset()):
        results = pipe(inputs, seed=7, batch_size=2)
        assert not isinstance(results, list) and agree(list(results), expected)


def test_a_row_that_cannot_be_decoded_does_not_end_the_dataset(pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]]) -> None:
    datasets = pytest.importorskip("datasets")
    import io

    files = []
    for photo in ALL[:2]:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "png")
        files.append(buffer.getvalue())
    rows = [{"bytes": files[0], "path": None}, {"bytes": b"no picture", "path": None}, {"bytes": files[1], "path": None}]
    table = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features({"image": datasets.Image()}))
    first, broken, last = list(pipe(table, seed=7))
    assert agree([first, last], expected[:2])
    assert broken["image"] is None and broken["error"]


# -- what goes wrong


@pytest.fixture
def broken_file(tmp_path: Path) -> Path:
    path = tmp_path / "broken.png"
    Image.fromarray(ALL[0]).save(path)
    path.write_bytes(path.read_bytes()[:500])
    return path


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("wrap", [list, iter], ids=["list", "stream"])
def test_a_broken_item_costs_only_itself(
    pipe: FaceAnonymizationPipeline, expected: list[dict[str, Any]], broken_file: Path, batch_size: int, wrap: Any
) -> None:
    items = [ALL[0], broken_file, ALL[1], None, ALL[2], ["nested"], ALL[3]]
    results = list(pipe(wrap(items), seed=7, batch_size=batch_size))
    assert len(results) == 7 and agree(results[::2], expected)
    for result, word in zip(results[1::2], ["broken.png", "NoneType", "list"], strict=True):
        assert result["image"] is None and result["faces"] == [] and word in result["error"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (None, TypeError),
        (b"bytes", TypeError),
        (torch.zeros(8, 8, 3), UnusableImageError),
        (torch.full((3, 8, 8), 2.0), UnusableImageError),
        (torch.full((3, 8, 8), torch.nan), UnusableImageError),
        (torch.zeros(3, 8, 8, dtype=torch.int64), UnusableImageError),
        (np.full((8, 8, 3), -1.0), UnusableImageError),
        (7, TypeError),
        ("no.jpg", UnusableImageError),
    ],
    ids=["nothing", "bytes", "channels last", "above 1", "not a number", "wide integers", "below 0", "number", "missing"],
)
def test_a_single_broken_input_raises(pipe: FaceAnonymizationPipeline, source: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        pipe(source)


def test_a_single_broken_file_raises(pipe: FaceAnonymizationPipeline, broken_file: Path) -> None:
    with pytest.raises(UnusableImageError, match="broken.png"):
        pipe(broken_file)


@pytest.mark.parametrize("wrap", [list, iter], ids=["list", "stream"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_no_face_is_an_error(expected: list[dict[str, Any]], wrap: Any, batch_size: int) -> None:
    """Of a single photo; of several it costs only itself."""
    parts = {"model": tiny_model(), "image_processor": tiny_processor(), "detector": KnownFaces(FACES), "device": "cpu"}
    pipe = pipeline(TASK, **parts)
    with pytest.raises(NoFaceError):
        pipe(PHOTOS[(90, 90)])
    first, *others = list(pipe(wrap(ALL), seed=7, batch_size=batch_size))
    assert first["image"] is None and first["faces"] == [] and "NoFaceError" in first["error"] and agree(others, expected[1:])


def test_a_photo_without_a_face_is_kept_on_request(pipe: FaceAnonymizationPipeline) -> None:
    with pytest.raises(NoFaceError):
        pipe(PHOTOS[(90, 90)], on_no_face="raise")
    result = tiny_pipeline(on_no_face="raise")(PHOTOS[(90, 90)], on_no_face="keep")
    assert result["faces"] == [] and same(result["image"], PHOTOS[(90, 90)])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_failing_generator_covers_and_the_batch_goes_on(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    pipe = tiny_pipeline()

    def fail(**inputs: torch.Tensor) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(pipe.model, "forward", fail)
    results = pipe(ALL, batch_size=batch_size)
    assert [[face["status"] for face in result["faces"]] for result in results] == [[], ["covered"], ["covered"] * 3, ["covered"]]
    covered = np.asarray(results[1]["image"])[40:80, 45:75]
    assert len(np.unique(covered.reshape(-1, 3), axis=0)) == 1


# -- options


def test_unknown_options_are_refused(pipe: FaceAnonymizationPipeline) -> None:
    for call in (lambda: pipe(ALL[1], sed=3), lambda: pipe(ALL, sed=3), lambda: tiny_pipeline(sed=3)):
        with pytest.raises(TypeError, match="'sed'") as error:
            call()
        assert all(field.name in str(error.value) for field in dataclasses.fields(AnonymizeOptions))


@pytest.mark.parametrize(
    ("option", "message"),
    [({"seed": -1}, "seed"), ({"geometry": "none"}, "geometry"), ({"min_score": 2}, "min_score"), ({"batch_size": 0}, "batch_size")],
)
def test_impossible_options_are_refused_before_anything_is_read(
    pipe: FaceAnonymizationPipeline, option: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pipe(iter(ALL), **option)


def test_options_at_construction_and_per_call(expected: list[dict[str, Any]]) -> None:
    pipe = tiny_pipeline(seed=7)
    assert agree([pipe(ALL[1])], [expected[1]])
    other = pipe(ALL[1], seed=8)
    assert not same(other["image"], expected[1]["image"])
    assert same(other["image"], tiny_engine(FACES)(ALL[1], AnonymizeOptions(seed=8)).image)
    assert agree([pipe(ALL[1])], [expected[1]]), "a call leaves the defaults alone"
    cropping = tiny_pipeline(batch_size=2, output="crop")
    assert cropping(ALL)[1]["image"].size == (64, 64)
    assert cropping(ALL[1], output="photo")["image"].size == (160, 120), "given, although it is the default"
    with pytest.raises(ValueError, match="geometry"):
        tiny_pipeline(geometry="none")


def test_without_a_seed_every_call_and_photo_differs(pipe: FaceAnonymizationPipeline) -> None:
    photo = ALL[1]
    pictures = [pipe(photo)["image"], pipe(photo)["image"], *(result["image"] for result in pipe([photo, photo], batch_size=2))]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_faces_by_hand_belong_to_one_photo(pipe: FaceAnonymizationPipeline) -> None:
    result = pipe(ALL[0], faces=[face_at(45, 45)], seed=7)
    assert [face["status"] for face in result["faces"]] == ["replaced"]
    assert pipe(ALL[1], faces=[])["faces"] == []
    with pytest.raises(ValueError, match="single photo"):
        pipe(ALL, faces=[face_at(45, 45)])


def test_workers_are_never_forked(expected: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    assert agree(tiny_pipeline(num_workers=2)(ALL, seed=7), expected)
    assert agree(list(tiny_pipeline()(Photos(), seed=7, num_workers=1)), expected)
    assert caplog.text.count("num_workers is not used") == 2


# -- diffusers


@pytest.fixture(scope="module")
def diffusion() -> Any:
    pytest.importorskip("diffusers")
    return ganon_hf.GanonPipeline(tiny_model(), tiny_processor(), detector=KnownFaces(FACES))


def test_diffusers_gives_the_same_pixels(diffusion: Any, expected: list[dict[str, Any]]) -> None:
    output = diffusion(ALL, seed=7, on_no_face="keep")
    assert agree([{"image": i, "faces": f} for i, f in zip(output.images, output.faces, strict=True)], expected)
    single = diffusion(ALL[1], seed=7)
    assert len(single.images) == 1 and same(single.images[0], expected[1]["image"])
    images, faces = diffusion(ALL[1], seed=7, return_dict=False)
    assert same(images[0], expected[1]["image"]) and faces == [expected[1]["faces"]]


def test_diffusers_arrays(diffusion: Any, expected: list[dict[str, Any]]) -> None:
    images = diffusion(ALL[1], seed=7, output_type="np").images
    assert images.dtype == np.float32 and images.shape == (1, 120, 160, 3) and 0 <= images.min() and images.max() <= 1
    assert same(np.round(images[0] * 255).astype(np.uint8), expected[1]["image"])
    tensors = diffusion([ALL[1]] * 2, seed=7, output_type="pt").images
    assert tensors.dtype == torch.float32 and tensors.shape == (2, 3, 120, 160)
    assert np.array_equal(tensors[1].permute(1, 2, 0).numpy(), images[0])
    assert diffusion(tensors[0], output_type="pt").images.shape == (1, 3, 120, 160), "what comes out goes in again"


@pytest.mark.parametrize(("kind", "shapes"), [("np", [(120, 160, 3), (100, 200, 3)]), ("pt", [(3, 120, 160), (3, 100, 200)])])
def test_photos_of_several_sizes_are_a_list(diffusion: Any, kind: str, shapes: list[tuple[int, ...]]) -> None:
    images = diffusion(ALL[1:3], output_type=kind).images
    assert isinstance(images, list) and [tuple(image.shape) for image in images] == shapes


def test_several_results_of_a_photo(diffusion: Any) -> None:
    """They stand side by side, have the seeds that follow, and the photo is searched once."""
    detector = diffusion.engine.detector
    detector.calls = 0
    output = diffusion([ALL[1], ALL[2]], seed=7, num_images_per_prompt=3)
    assert output.seeds == [7, 8, 9] * 2 and [len(faces) for faces in output.faces] == [1] * 3 + [3] * 3
    assert detector.calls == 2
    for number, image in enumerate(output.images):
        assert same(diffusion(ALL[1 + number // 3], seed=7 + number % 3).images[0], image)
    assert len(set(diffusion(ALL[1], num_images_per_prompt=2).seeds)) == 2


def test_diffusers_draws_the_seed_from_a_generator(diffusion: Any) -> None:
    first, again, other = (diffusion(ALL[1], generator=torch.Generator().manual_seed(seed)).images[0] for seed in (3, 3, 4))
    assert same(first, again) and not same(first, other)
    assert not same(diffusion(ALL[1]).images[0], diffusion(ALL[1]).images[0])
    several = diffusion([ALL[1]] * 2, generator=[torch.Generator().manual_seed(seed) for seed in (3, 4)], num_images_per_prompt=2)
    assert same(several.images[0], first) and same(several.images[2], other) and len(set(several.seeds)) == 4


def test_diffusers_faces_by_hand(diffusion: Any) -> None:
    assert len(diffusion(ALL[0], faces=[face_at(45, 45)]).faces[0]) == 1
    assert [len(faces) for faces in diffusion(ALL[:2], faces=[[face_at(45, 45)], None]).faces] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sed": 3}, TypeError, "'sed'.*seed, geometry, privacy, skin_tone"),
        ({"output_type": "latent"}, ValueError, "'pil', 'np' or 'pt'.*'latent'"),
        ({"num_inference_steps": 20}, TypeError, "takes no num_inference_steps: a face is drawn in one pass"),
        ({"callback_on_step_end": print}, TypeError, "takes no callback_on_step_end: a face is drawn in one pass"),
        ({"prompt": "a woman"}, TypeError, "takes no prompt: nothing is drawn from words but `look`"),
        ({"num_images_per_prompt": 0}, ValueError, "num_images_per_prompt must be"),
        ({"generator": [torch.Generator()] * 2}, ValueError, "1 photos, 2 generators"),
        ({"seed": 1, "generator": torch.Generator()}, ValueError, "not both"),
        ({"min_score": 2}, ValueError, "min_score"),
        ({"image": ALL, "faces": [[]]}, ValueError, "4 photos, 1 entries"),
        ({"image": "no.jpg"}, UnusableImageError, "no.jpg"),
        ({"image": ALL}, NoFaceError, "no face"),
    ],
)
def test_diffusers_refuses(diffusion: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        diffusion(**{"image": ALL[1], **arguments})


# -- transformers: an exchanged model


def test_an_exchanged_model_takes_effect() -> None:
    other = tiny_model()
    with torch.no_grad():
        other.prior.luma[0] -= 60.0
    pipe = tiny_pipeline()
    wanted, detector = (
        ganon_hf.Anonymizer(other, tiny_processor(), KnownFaces(FACES))(ALL[1], AnonymizeOptions(seed=7)).image,
        pipe.engine.detector,
    )
    assert not same(pipe(ALL[1], seed=7)["image"], wanted)
    pipe.model = other
    assert same(pipe(ALL[1], seed=7)["image"], wanted)
    assert pipe.engine.model is other and pipe.engine.detector is detector


# -- diffusers: exchanged components


class CountedFaces(KnownFaces):
    """Counts how often it is built."""

    built = 0

    def __init__(self) -> None:
        super().__init__(FACES)
        CountedFaces.built += 1


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pipeline that builds its detector itself, another model and what it makes of a photo."""
    pytest.importorskip("diffusers")
    monkeypatch.setattr(CountedFaces, "built", 0)
    monkeypatch.setattr("ganon_hf.core.anonymizer.YuNetDetector", lambda **arguments: CountedFaces())
    other = tiny_model()
    with torch.no_grad():
        other.prior.luma[0] -= 60.0
    pipe = ganon_hf.GanonPipeline(tiny_model(), tiny_processor())
    wanted = ganon_hf.Anonymizer(other, tiny_processor(), KnownFaces(FACES))(ALL[1], AnonymizeOptions(seed=7)).image
    assert not same(pipe(ALL[1], seed=7).images[0], wanted)
    return pipe, other, wanted


@pytest.mark.parametrize("how", ["assigned", "registered", "moved before", "moved after"])
def test_an_exchanged_generator_takes_effect(exchanged: Any, how: str) -> None:
    pipe, other, wanted = exchanged
    if how == "moved before":
        pipe.to("cpu")
    if how == "registered":
        pipe.register_modules(generator=other)
    else:
        pipe.generator = other
    if how == "moved after":
        pipe.to("cpu")
    assert same(pipe(ALL[1], seed=7).images[0], wanted)
    assert pipe.components["generator"] is other and pipe.engine.model is other
    assert CountedFaces.built == 1, "the detector is kept"


def test_the_old_generator_is_given_up(exchanged: Any) -> None:
    pipe, other, _ = exchanged
    old = weakref.ref(pipe.generator)
    pipe.generator = other
    gc.collect()
    assert old() is None


def test_an_exchanged_image_processor_takes_effect(exchanged: Any) -> None:
    pipe, _, _ = exchanged
    before = pipe(ALL[1], seed=7).images[0]
    pipe.image_processor = other = tiny_processor()
    assert same(pipe(ALL[1], seed=7).images[0], before) and pipe.engine.image_processor is other
    pipe.image_processor = tiny_processor(image_size=128)
    with pytest.raises(ValueError, match="do not fit"):
        pipe(ALL[1])
    pipe.generator = tiny_model(image_size=128)
    assert pipe(ALL[1], seed=7).faces[0][0]["status"] == "replaced"
    assert CountedFaces.built == 1
