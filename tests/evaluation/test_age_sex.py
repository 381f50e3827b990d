"""The judge of age and sex, recognizers from ONNX files, and their files: networks of known weights, and the real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import face_at

from ganon_hf.core.opencv import cv2
from ganon_hf.evaluation.metrics import age_sex, arcface, model_files
from ganon_hf.evaluation.metrics.age_sex import AgeSex, AgeSexJudge, tone_class, typology_angle
from ganon_hf.evaluation.metrics.recognition import load_recognizer
from ganon_hf.evaluation.metrics.template_crops import template_crop

# The real files, where somebody fetched them beside the project or inside it.
FOLDERS = [Path(__file__).parents[2] / "runs" / "models", Path(__file__).parents[3] / "shared" / "models"]


def shapes() -> dict[str, list[int]]:
    """Names and shapes of the Xception's weights, as TensorFlow lays them out."""
    found: dict[str, list[int]] = {"entry_flow/conv_in": [3, 3, 3, 4]}
    blocks = [("entry_flow/reduction_block_0", 4, 6, 2), ("entry_flow/reduction_block_1", 6, 8, 2)]
    blocks += [("middle_flow/main_block_0", 8, 8, 3), ("middle_flow/main_block_1", 8, 8, 3), ("exit_flow/reduction_block", 8, 8, 2)]
    for name, narrow, wide, count in blocks:
        for number in range(count):
            found[f"{name}/separable_conv{number}"] = [narrow if number == 0 else wide, wide]
        if count == 2:
            found[f"{name}/expansion_conv"] = [1, 1, narrow, wide]
    return found | {"exit_flow/separable_conv": [8, 10], "fc/age": [10, 1], "fc/gender": [10, 2]}


def write_xception(folder: Path, *, age: float, gender: tuple[float, float]) -> None:
    """A network whose features are 0, so that it answers its biases: quantized weights and plain biases, as the publisher's file."""
    entries, content = [], b""

    def add(name: str, shape: list[int], values: np.ndarray | None = None) -> None:
        nonlocal content
        if values is None:
            entries.append(
                {"name": name, "shape": shape, "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}}
            )
            content += np.full(shape, 2, np.uint8).tobytes()  # 2 * 0.5 - 1 = 0
        else:
            entries.append({"name": name, "shape": shape, "dtype": "float32"})
            content += values.astype(np.float32).tobytes()

    for name, shape in shapes().items():
        if name.startswith("fc/"):
            add(f"{name}/weights", shape)
            add(f"{name}/bias", shape[1:], np.array([age] if name == "fc/age" else gender))
        elif len(shape) == 4:
            add(f"{name}/filters", shape)
            add(f"{name}/bias", shape[3:], np.zeros(shape[3]))
        else:
            add(f"{name}/depthwise_filter", [3, 3, shape[0], 1])
            add(f"{name}/pointwise_filter", [1, 1, *shape])
            add(f"{name}/bias", shape[1:], np.zeros(shape[1]))
    (folder / model_files.AGE_SEX_FILE).write_bytes(content)
    (folder / model_files.AGE_SEX_MANIFEST).write_text(json.dumps([{"weights": entries}]))


def write_onnx(path: Path, operations: list[str], side: int, weights: np.ndarray | None = None) -> Path:
    """A chain of operations; ``weights`` are those of a convolution in it."""
    onnx = pytest.importorskip("onnx")
    nodes = []
    for number, operation in enumerate(operations):
        inputs = [f"value{number}", "weights"] if operation == "Conv" else [f"value{number}"]
        nodes.append(onnx.helper.make_node(operation, inputs, [f"value{number + 1}"]))
    shape = ["N", 3, side, side] if operations[-1] == "Relu" else ["N", "D"]
    inside = onnx.helper.make_tensor_value_info("value0", 1, ["N", 3, side, side])
    outside = onnx.helper.make_tensor_value_info(nodes[-1].output[0], 1, shape)
    constants = [] if weights is None else [onnx.numpy_helper.from_array(weights.astype(np.float32), "weights")]
    graph = onnx.helper.make_graph(nodes, "chain", [inside], [outside], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    return path


# The brighter the picture, the more a man; the mean of each channel; a network that gives a picture.
BRIGHTNESS, COLORS, PICTURE = ["GlobalAveragePool", "Conv", "Flatten", "Softmax"], ["GlobalAveragePool", "Flatten"], ["Relu"]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks of known answers in the place of the measured ones."""
    write_xception(tmp_path, age=31.5, gender=(2.0, 0.0))
    write_onnx(tmp_path / model_files.SEX_FILE, BRIGHTNESS, 32, np.repeat([[-7.0], [7.0]], 3, axis=1)[..., None, None])
    monkeypatch.setattr(age_sex, "read_model", lambda folder, name: (folder / name).read_bytes())
    return tmp_path


def test_the_judge_joins_both_networks(models: Path) -> None:
    judge, face = AgeSexJudge(models), face_at(80, 60, 60)
    assert face.landmarks is not None
    light, dark = (judge(np.full((120, 160, 3), value, np.uint8), face.landmarks) for value in (250, 5))
    first = float(torch.tensor([2.0, 0.0]).softmax(0)[0])
    assert light.man == pytest.approx((first + 1) / 2, abs=0.01) and dark.man == pytest.approx(first / 2, abs=0.01)
    assert light.age == pytest.approx(31.5) and light.age_spread == pytest.approx(0, abs=1e-4)
    assert (light.is_man, dark.is_man, light.sure_of_sex, dark.sure_of_sex) == (True, False, True, False)


def test_the_judge_says_where_it_is_sure() -> None:
    assert AgeSex(0.1, 30, 2).sure_of_sex and not AgeSex(0.3, 30, 2).sure_of_sex
    assert AgeSex(0.5, 30, 5).sure_of_age and not AgeSex(0.5, 30, 5.1).sure_of_age
    assert [AgeSex(0.5, age, 0).sure_of_child for age in (9, 12, 17, 18)] == [True, False, False, True]
    assert [AgeSex(0.5, age, 0).is_child for age in (9, 12, 13, 30)] == [True, True, False, False]


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="fetch_evaluation_models"):
        AgeSexJudge(tmp_path)
    for name in model_files.SUMS:
        (tmp_path / name).write_bytes(b"another")
        with pytest.raises(ValueError, match="was not measured"):
            model_files.read_model(tmp_path, name)


@pytest.mark.parametrize(("color", "low", "high"), [((235, 205, 185), 45, 70), ((200, 150, 120), 20, 50), ((90, 60, 45), -70, -20)])
def test_typology_angle_orders_skin(color: tuple[int, ...], low: float, high: float) -> None:
    face = face_at(80, 60, 80)
    assert face.landmarks is not None
    photo = np.broadcast_to(np.array(color, np.uint8), (120, 160, 3)).copy()
    assert low < typology_angle(photo, face.landmarks) < high
    gray = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert np.isnan(typology_angle(gray + np.array([0, 1, 0], np.uint8), face.landmarks)), "a gray photo shows no tone"


def test_a_template_crop_turns_scales_and_moves() -> None:
    template = np.array([[10.0, 10.0], [30.0, 10.0], [20.0, 28.0]])
    turn = 3 * np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    crop = template_crop(template @ turn.T + [50.0, -4.0], template, 40)
    assert np.allclose(crop.to_crop(template @ turn.T + [50.0, -4.0]), template) and crop.scale == pytest.approx(1 / 3)


class KnownMesh:
    """The mesh that is known, in the place of the landmark network."""

    def __call__(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
        return face_at(80, 60, 60).landmarks if box[0] < 100 else None


def test_a_recognizer_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcface, "MeshReader", KnownMesh)
    recognizer = load_recognizer(str(write_onnx(tmp_path / "colors.onnx", COLORS, 112)))
    assert (recognizer.name, recognizer.metric) == ("colors", "cosine")
    photo = np.broadcast_to(np.array([127, 255, 63], np.uint8), (120, 160, 3)).copy()
    assert recognizer(photo, (50.0, 30.0, 110.0, 90.0)) == pytest.approx(np.array([0.0, 1.0, -0.5]), abs=1e-5), "RGB, (value - 127) / 128"
    assert recognizer(photo, (120.0, 30.0, 150.0, 60.0)) is None, "where no landmarks are, nobody is read"


def test_the_recognizers_crop_follows_the_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eyes, nose and mouth come to lie on ArcFace's template: marks there are all that the crop shows."""
    monkeypatch.setattr(arcface, "MeshReader", KnownMesh)
    recognizer = load_recognizer(str(write_onnx(tmp_path / "colors.onnx", COLORS, 112)))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(recognizer, "_vectors", lambda crop: seen.append(crop) or np.zeros((1, 3)))
    points, photo = face_at(80, 60, 60).landmarks, np.zeros((120, 160, 3), np.uint8)
    assert points is not None
    for index in (33, 133):
        cv2.circle(photo, tuple(int(v) for v in points[index, :2]), 2, (255, 255, 255), -1)
    recognizer(photo, (50.0, 30.0, 110.0, 90.0))
    rows, columns = np.nonzero(seen[0].max(axis=2))
    assert abs(columns.mean() - arcface.TEMPLATE[0, 0]) < 4 and abs(rows.mean() - arcface.TEMPLATE[0, 1]) < 6


def test_what_is_no_recognizer_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recognizer(str(tmp_path / "nothing.onnx"))
    (tmp_path / "noise.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="no network for crops"):
        load_recognizer(str(tmp_path / "noise.onnx"))
    with pytest.raises(ValueError, match="into a vector"):
        load_recognizer(str(write_onnx(tmp_path / "picture.onnx", PICTURE, 112)))


@pytest.mark.detection
def test_the_measured_networks(astronaut_path: Path) -> None:
    """The publishers' files, where they were fetched: a woman of 37."""
    from ganon_hf.core.detection_search import YuNetDetector
    from ganon_hf.core.image_loading import load_photo

    folder = next((one for one in FOLDERS if (one / model_files.AGE_SEX_FILE).is_file()), None)
    if folder is None:
        pytest.skip("run scripts/maintain/fetch_evaluation_models.py")
    photo = load_photo(astronaut_path)
    face = YuNetDetector()(photo)[0]
    assert face.landmarks is not None
    read = AgeSexJudge(folder)(photo, face.landmarks)
    assert not read.is_man and read.sure_of_sex and 25 < read.age < 50


@pytest.mark.detection
def test_the_measured_recognizer(astronaut_path: Path) -> None:
    from ganon_hf.core.detection_search import YuNetDetector
    from ganon_hf.core.image_loading import load_photo

    folder = next((one for one in FOLDERS if (one / model_files.RECOGNIZER_FILE).is_file()), None)
    if folder is None:
        pytest.skip("run scripts/maintain/fetch_evaluation_models.py")
    recognizer = load_recognizer(str(folder / model_files.RECOGNIZER_FILE))
    photo = load_photo(astronaut_path)
    box = YuNetDetector()(photo)[0].box
    vector, mirrored = (
        recognizer(some, place) for some, place in ((photo, box), (photo[:, ::-1].copy(), (512 - box[2], box[1], 512 - box[0], box[3])))
    )
    assert vector is not None and mirrored is not None and vector.shape == (512,)
    assert vector @ mirrored / np.linalg.norm(vector) / np.linalg.norm(mirrored) > 0.6, "a person in a mirror is the same one"


@pytest.mark.parametrize(
    ("angle", "name"),
    [(56, "very light"), (55, "light"), (41.5, "light"), (40, "intermediate"), (28, "tan"), (0, "brown"), (-30, "dark"), (-80, "dark")],
)
def test_tones_have_the_classes_of_the_literature(angle: float, name: str) -> None:
    assert tone_class(angle) == name
