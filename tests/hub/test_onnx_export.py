"""The generator as ONNX draws what it draws here, for any number of faces; and what does not is not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import KnownFaces, face_at, tiny_model, tiny_processor

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.hub import onnx_export as export_onnx
from ganon_hf.hub.card_pictures import read_portrait
from ganon_hf.hub.onnx_export import TOLERANCE, OnnxError, compare, real_inputs, write_onnx

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def engine(faces: int = 1) -> Anonymizer:
    """A tiny generator with refinement that does something, and a detector that knows the sample photo."""
    model = tiny_model(refinement_channels=4)
    with torch.no_grad():
        model.refinement.out.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(3))
    photo = read_portrait()
    known = {photo.size: [face_at(photo.width / 2, photo.height / 2, 90)] * faces}
    return Anonymizer(model, tiny_processor(), KnownFaces(known))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Anonymizer, export_onnx.OnnxFile]:
    path, made = tmp_path_factory.mktemp("onnx") / "onnx" / "model.onnx", engine()
    return path, made, write_onnx(made, path)


@pytest.mark.slow
def test_it_draws_what_the_package_draws(written: tuple[Path, Anonymizer, export_onnx.OnnxFile]) -> None:
    """Batches of one to four of other conditions than those that the graph was traced with, part of them elsewhere in the square."""
    path, made, told = written
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    conditions = real_inputs(made)
    inputs = {name: torch.cat([one[name] for one in conditions[:2]]) for name in conditions[0]}
    inputs["pixel_values"][1] = inputs["pixel_values"][1].roll((9, -5), dims=(1, 2))
    inputs["grayscale"][2] = 1
    for count in range(1, len(inputs["canonical_landmarks"]) + 1):
        some = {name: value[:count] for name, value in inputs.items()}
        with torch.inference_mode():
            expected = made.model(**some)
        drawn = session.run(None, {name: value.numpy() for name, value in some.items()})[0]
        assert np.abs(drawn - expected.images.numpy()).max() < TOLERANCE, count
        assert (expected.images - expected.coarse).abs().max() > 10 * TOLERANCE, "the refinement must do something here"
    empty = {name: value[:1] * (name != "pixel_values") for name, value in inputs.items()}  # no mesh anywhere
    with torch.inference_mode():
        assert np.abs(session.run(None, {k: v.numpy() for k, v in empty.items()})[0] - made.model(**empty).images.numpy()).max() < TOLERANCE
    assert told.difference < TOLERANCE and told.inputs["canonical_landmarks"] == ("batch", 478, 3)


@pytest.mark.slow
def test_it_names_no_file_of_this_machine(written: tuple[Path, Anonymizer, export_onnx.OnnxFile]) -> None:
    content = written[0].read_bytes()
    for word in (str(Path(export_onnx.__file__).parent), str(Path.home()), "stack_trace", ".py"):
        assert word.encode() not in content, word


@pytest.mark.slow
def test_other_weights_are_noticed(written: tuple[Path, Anonymizer, export_onnx.OnnxFile]) -> None:
    other = engine()
    with torch.no_grad():
        other.model.prior.luma[0] += 2.0
    with pytest.raises(OnnxError, match="draws something else"):
        compare(written[0], other)


def test_the_papers_generator_is_one_too() -> None:
    """Names and order of its inputs; the network itself is standard layers."""
    assert export_onnx._inputs_of(tiny_model(conditioning="landmarks", image_size=256).config) == ["pixel_values"]


def test_without_a_face_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match="no face of the sample photo"):
        write_onnx(engine(faces=0), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
