"""Export, upload, download into an empty cache, use, use offline: the same pixels everywhere. And what must not be published is not."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_standin import Hub, running_hub
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny import same, tiny_model, tiny_processor

import ganon_hf
from ganon_hf.bulk.engine import weights_digest
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_files import FOLDER
from ganon_hf.evaluation.report.report import SCHEMA
from ganon_hf.hub.card_pictures import HARD_SAMPLES, PORTRAIT
from ganon_hf.hub.export import CONFIGS, DETECTOR_FILES, DIFFUSERS_ENTRY, ExportError, ExportOptions, check, export, exported_modules

pytestmark = [pytest.mark.hub, pytest.mark.detection, pytest.mark.slow]
pytest.importorskip("diffusers")

REPO = "writer/ganon"
SEED = 11
ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))

HIDDEN = """
import importlib.abc, sys
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ganon_hf":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
"""
# The lines of the card, but for the names of the files.
TRANSFORMERS = f"""
import sys
from transformers import pipeline
anonymize = pipeline("face-anonymization", model="{REPO}", trust_remote_code=True)
anonymize(sys.argv[1], seed={SEED})["image"].save(sys.argv[2])
"""
GUESSED = TRANSFORMERS.replace('"face-anonymization", ', "")
DIFFUSERS = f"""
import sys
from ganon_hf import GanonPipeline
anonymize = GanonPipeline.from_pretrained("{REPO}")
anonymize(sys.argv[1], seed={SEED}).images[0].save(sys.argv[2])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as training leaves it."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    digest = weights_digest(Anonymizer.from_pretrained(folder))
    figures = {"ganon-hf": {"net/rank1": {"value": 0.4321, "low": 0.1, "high": 0.9, "count": 9, "people": 9}}}
    sets = {"nine people": {"figures": figures, "curves": {}, "notes": []}}
    (folder / "report.json").write_text(
        json.dumps({"schema": SCHEMA, "settings": {"model": f"tiny@{digest}"}, "left_out": [], "sets": sets})
    )
    return folder


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "ganon"
    export(folder, ExportOptions(str(weights), onnx=ONNX))
    return folder


@pytest.fixture(scope="module")
def engine(weights: Path) -> Anonymizer:
    return Anonymizer.from_pretrained(weights)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


def fresh(code: str, *arguments: object, hub: Hub, home: Path, package: bool, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process with its own cache; without ``package`` this package cannot be imported there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **variables}
    command = [sys.executable, "-I", "-c", ("" if package else HIDDEN) + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=home.parent, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_is_complete(folder: Path) -> None:
    samples = {f"samples/{name}.jpg" for name in ("photo", "result", "before_after", "failures", "people")}
    modules = {f"{name}.py" for name in exported_modules()}
    graph = {"onnx/model.onnx"} if ONNX else set()
    detectors = {f"{FOLDER}/{name}" for name in DETECTOR_FILES}
    assert files_of(folder) == {"README.md", "LICENSE", "report.json", DIFFUSERS_ENTRY, *CONFIGS, *modules, *samples, *graph, *detectors}
    assert {"pipeline_ganon", "anonymizer", "modeling_ganon", "detection_search", "faces"} <= set(exported_modules())
    assert not {"cli", "export", "diffusion_pipeline_ganon"} & set(exported_modules())


def test_everybody_may_read_every_file(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o755}


@pytest.mark.parametrize("entry", ["", *(f"custom_pipeline={name}, trust_remote_code=True" for name in ("'pipeline'", "{folder!r}"))])
def test_diffusers_own_class_loads_the_folder(entry: str, hub: Hub, folder: Path, engine: Anonymizer, tmp_path: Path) -> None:
    code = f"""
import sys{"" if entry else ", ganon_hf"}
from diffusers import DiffusionPipeline
anonymize = DiffusionPipeline.from_pretrained({str(folder)!r}, {entry.format(folder=str(folder))})
anonymize(sys.argv[1], seed={SEED}).images[0].save(sys.argv[2])
"""
    fresh(code, PORTRAIT, tmp_path / "a.png", hub=hub, home=tmp_path / "home", package=True)
    with Image.open(tmp_path / "a.png") as image:
        assert same(image, engine(PORTRAIT, ganon_hf.AnonymizeOptions(seed=SEED)).image)


def test_the_card_tells_of_these_weights(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "43.2 % (10.0 to 90.0)" in card and "not recorded" in card
    for name in HARD_SAMPLES:
        assert f"| {name} |" in card
    assert ("(onnx/model.onnx)" in card) == ONNX
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_the_whole_loop(hub: Hub, folder: Path, engine: Anonymizer, tmp_path: Path) -> None:
    expected = engine(PORTRAIT, ganon_hf.AnonymizeOptions(seed=SEED)).image
    publish = f"from ganon_hf.cli.main import app; app(['publish', '{REPO}', '--folder', {str(folder)!r}])"
    fresh(publish, hub=hub, home=tmp_path / "publisher", package=True, HF_TOKEN="writer")
    assert set(hub.repositories[f"models/{REPO}"].files) == files_of(folder) | {".gitattributes"}

    home = tmp_path / "home"
    loads = {"transformers": TRANSFORMERS, "guessed": GUESSED, "diffusers": DIFFUSERS}
    for name, code in loads.items():
        out = tmp_path / f"{name}.png"
        own = home if name != "guessed" else tmp_path / "another"
        fresh(code, PORTRAIT, out, hub=hub, home=own, package=name == "diffusers")
        with Image.open(out) as image:
            assert same(image, expected), name

    asked = len(hub.requests)
    for name in ("transformers", "diffusers"):
        out = tmp_path / f"{name}-offline.png"
        fresh(loads[name], PORTRAIT, out, hub=hub, home=home, package=name == "diffusers", HF_HUB_OFFLINE="1")
        with Image.open(out) as image:
            assert same(image, expected), f"{name}, offline"
    assert len(hub.requests) == asked, "offline nothing is asked"


def test_a_finished_folder_is_not_overwritten(folder: Path, weights: Path) -> None:
    before = (folder / "README.md").read_bytes()
    with pytest.raises(ExportError, match="not an empty folder"):
        export(folder, ExportOptions(str(weights)))
    assert (folder / "README.md").read_bytes() == before


@pytest.mark.skipif(not ONNX, reason="needs pip install 'ganon-hf[onnx]'")
def test_onnx_runtime_draws_the_same_face(folder: Path, engine: Anonymizer) -> None:
    """With nothing but the folder's file and the conditions of a photo."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    for seed in (SEED, SEED + 1):
        plan = engine.plan(PORTRAIT, ganon_hf.AnonymizeOptions(seed=seed))
        values = {name: value.numpy() for name, value in plan.inputs[0].items()}
        (images,) = session.run(None, {one.name: values[one.name] for one in session.get_inputs()})
        assert np.abs((images[0].transpose(1, 2, 0) + 1) * 127.5 - engine.generate(plan.inputs)[0]).max() < 0.13  # levels


@pytest.mark.parametrize("model", ["tiny@0123456789ab", "", "bundled"])
def test_a_report_of_other_weights_is_refused(weights: Path, tmp_path: Path, model: str) -> None:
    content = json.loads((weights / "report.json").read_text())
    report = tmp_path / "other.json"
    report.write_text(json.dumps(content | {"settings": {"model": model}}))
    with pytest.raises(ExportError, match="other.json measured other weights"):
        export(tmp_path / "new", ExportOptions(str(weights), report=report))
    assert files_of(tmp_path) == {"other.json"}


def test_what_cannot_be_exported_leaves_nothing(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    for options in (ExportOptions(str(tmp_path)), ExportOptions(str(weights), report=tmp_path / "report.json")):
        with pytest.raises((OSError, ValueError)):
            export(tmp_path / "new", options)
    assert files_of(tmp_path) == {"report.json"}


def spoil_weights(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor + np.float32(0.5) if "luma" in name else tensor for name, tensor in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def spoil_graph(folder: Path) -> None:
    """Other weights in the graph, as if it had been forgotten when the model was trained on."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(folder / "onnx/model.onnx")
    largest = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    largest.raw_data = (np.frombuffer(largest.raw_data, np.float32) * 1.1 + 1).astype(np.float32).tobytes()
    onnx.save(model, folder / "onnx/model.onnx")


SPOILED = {
    "a graph of other weights": (spoil_graph, "the ONNX file draws something else"),
    "a module is missing": (lambda folder: (folder / "geometry.py").unlink(), "geometry.py is missing"),
    "a stranger": (lambda folder: (folder / "notes.txt").write_text("x"), "notes.txt does not belong here"),
    "a library that is not there": (lambda folder: append(folder / "faces.py", "\nimport gradio\n"), "imports gradio outside `try`"),
    "a neighbor that is not there": (
        lambda folder: append(folder / "faces.py", "\nfrom .files import x\n"),
        "imports files, which is not exported",
    ),
    "a path of this machine": (lambda folder: append(folder / "README.md", f"\nSee {Path.cwd()}/runs\n"), "README.md names"),
    "an absolute path": (
        lambda folder: (folder / "model_index.json").write_text('{"a": "/opt/weights"}'),
        "the absolute path /opt/weights",
    ),
    "code that breaks": (
        lambda folder: append(folder / "faces.py", "\nraise OSError('no')\n"),
        "cannot use the folder without this package",
    ),
    "other weights": (spoil_weights, "transformers, without this package gives other pixels"),
}


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_folder_is_refused(name: str, folder: Path, engine: Anonymizer, tmp_path: Path) -> None:
    spoil, words = SPOILED[name]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spoil(copy)
    with pytest.raises(ExportError, match="must not be published|cannot use the folder") as caught:
        check(copy, engine, files_of(folder))
    assert words in str(caught.value)
