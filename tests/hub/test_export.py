"""A saved pipeline is a Hub repository: it loads where the package is not installed, and gives the same pixels."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import KnownFaces, face_at, noise_photo, same, tiny_model, tiny_processor
from transformers import AutoImageProcessor, AutoModel, pipeline
from transformers.dynamic_module_utils import get_imports

import ganon_hf
from ganon_hf.core.detection_files import FOLDER, SUMS, read_network
from ganon_hf.core.pipeline_ganon import FaceAnonymizationPipeline
from ganon_hf.core.task import TASK

pytestmark = pytest.mark.hub

PACKAGE = Path(ganon_hf.__file__).parent
DATA = {"config.json", "preprocessor_config.json", "model.safetensors"}
ALLOWED = {"torch", "numpy", "PIL", "transformers", "diffusers", "huggingface_hub"} | set(sys.stdlib_module_names)

# A process in which `import ganon_hf` fails; photo and landmarks come in a file, pictures go out in one.
REMOTE = """
import importlib.abc, pickle, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ganon_hf":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hide())
try:
    import ganon_hf
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package is still importable")

from transformers import AutoImageProcessor, AutoModel, pipeline

folder, again, data, out = sys.argv[1:]
with open(data, "rb") as file:
    photo, box, landmarks = pickle.load(file)
kwargs = {"trust_remote_code": True, "device": "cpu"}
results = {}
named = pipeline("face-anonymization", model=folder, **kwargs)
face = sys.modules[type(named).__module__].Face(box, 0.9, landmarks)
results["named"] = named(photo, seed=7, faces=[face])
guessed = pipeline(model=folder, **kwargs)
results["guessed"] = guessed(photo, seed=7, faces=[face])

class Detector:
    def __call__(self, image, *, min_face_size=24, min_score=0.5):
        return [face]

detecting = pipeline(model=folder, detector=Detector(), seed=7, **kwargs)
results["detected"], broken, _ = detecting([photo, "no.jpg", photo], batch_size=2)
assert broken["image"] is None and broken["error"], broken
results["covered"] = named(photo, faces=[type(face)(box, 0.9)])

guessed.save_pretrained(again)
results["again"] = pipeline(model=again, **kwargs)(photo, seed=7, faces=[face])
model, processor = (kind.from_pretrained(folder, trust_remote_code=True) for kind in (AutoModel, AutoImageProcessor))
assert type(model).__module__.startswith("transformers_modules"), type(model)
assert type(processor).__module__.startswith("transformers_modules"), type(processor)
assert not any(name.split(".")[0] in ("ganon_hf", "mediapipe") for name in sys.modules)
with open(out, "wb") as file:
    pickle.dump(results, file)
"""


def tiny_pipeline(**arguments: Any) -> FaceAnonymizationPipeline:
    parts = {"model": tiny_model(), "image_processor": tiny_processor(), "detector": KnownFaces(), "device": "cpu"}
    return pipeline(TASK, **{**parts, **arguments})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "ganon"
    tiny_pipeline().save_pretrained(folder)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def needed_by(name: str) -> set[str]:
    """The modules a module imports from its own folder, and theirs."""
    found, open_ends = {name}, [name]
    while open_ends:
        source = (PACKAGE / "core" / f"{open_ends.pop()}.py").read_text()
        new = set(re.findall(r"^from \.(\w+) import", source, re.M)) - found
        found |= new
        open_ends += new
    return found


def test_the_folder_holds_weights_configs_and_all_the_code(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == DATA | {FOLDER} | {f"{name}.py" for name in needed_by("pipeline_ganon")}
    for name in SUMS:
        assert (folder / FOLDER / name).read_bytes() == read_network(name)
    for path in folder.glob("*.py"):
        assert path.read_text() == (PACKAGE / "core" / path.name).read_text()


def test_the_configs_name_the_code(folder: Path) -> None:
    config = config_of(folder)
    assert config["auto_map"] == {"AutoConfig": "modeling_ganon.GanonConfig", "AutoModel": "modeling_ganon.GanonModel"}
    assert config["custom_pipelines"] == {TASK: {"impl": "pipeline_ganon.FaceAnonymizationPipeline", "pt": ["AutoModel"], "type": "image"}}
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    assert processor["auto_map"] == {"AutoImageProcessor": "image_processing_ganon.GanonImageProcessor"}


def test_no_path_of_this_machine_gets_out(folder: Path) -> None:
    for path in folder.glob("*.json"):
        text = path.read_text()
        assert str(PACKAGE) not in text and str(Path.home()) not in text and str(folder.parent) not in text
        assert not re.search(r'"(/|[A-Za-z]:\\\\)', text), path.name


def test_every_exported_file_can_be_loaded_anywhere(folder: Path) -> None:
    names = {path.stem for path in folder.glob("*.py")}
    for path in [*folder.glob("*.py"), PACKAGE / "core" / "diffusion_pipeline_ganon.py"]:
        assert {name.split(".")[0] for name in get_imports(path)} <= ALLOWED, path.name
        # transformers reads relative imports with this pattern wherever they stand, in docstrings too
        assert set(re.findall(r"^\s*from\s+\.(\S+)\s+import", path.read_text(), re.M)) <= names
        assert not re.search(r"^\s*from\s+\.\s+import", path.read_text(), re.M), path.name


def test_it_loads_without_the_package_and_gives_the_same_pixels(folder: Path, tmp_path: Path) -> None:
    photo, face = noise_photo(), face_at(60, 60)
    expected = tiny_pipeline()(photo, seed=7, faces=[face])
    data, out, script = tmp_path / "in.pkl", tmp_path / "out.pkl", tmp_path / "remote.py"
    data.write_bytes(pickle.dumps((photo, face.box, np.array(face.landmarks))))
    script.write_text(REMOTE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-I", str(script), str(folder), str(tmp_path / "again"), str(data), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    results = pickle.loads(out.read_bytes())
    for name in ("named", "guessed", "again", "detected"):
        assert same(results[name]["image"], expected["image"]), name
        assert [face["status"] for face in results[name]["faces"]] == ["replaced"], name
    assert [face["status"] for face in results["covered"]["faces"]] == ["covered"]
    # saved again from there it is the same repository
    assert {path.name for path in (tmp_path / "again").iterdir()} == {path.name for path in folder.iterdir()}
    assert config_of(tmp_path / "again") == config_of(folder)


@pytest.mark.parametrize(
    "arguments",
    [{"task": TASK}, {"task": TASK, "trust_remote_code": True}, {"trust_remote_code": True}, {}],
    ids=["task", "task and trust", "trust", "nothing"],
)
def test_where_the_package_is_imported_its_code_serves_the_folder(folder: Path, arguments: dict[str, Any]) -> None:
    pipe = pipeline(model=str(folder), device="cpu", detector=KnownFaces(), **arguments)
    assert {type(part).__module__.split(".")[0] for part in (pipe, pipe.model, pipe.image_processor)} == {"ganon_hf"}
    assert same(pipe(noise_photo(), seed=7)["image"], tiny_pipeline()(noise_photo(), seed=7)["image"])


def test_parts_saved_by_themselves_name_no_code(folder: Path, tmp_path: Path) -> None:
    """After an export, and loaded from one: code that does not lie beside a part must not be promised by it."""
    exported = tiny_pipeline()
    exported.save_pretrained(tmp_path / "export")
    for number, (model, processor) in enumerate(
        [(exported.model, exported.image_processor), (AutoModel.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder))]
    ):
        part = tmp_path / f"part{number}"
        model.save_pretrained(part)
        processor.save_pretrained(part)
        assert {path.name for path in part.iterdir()} == DATA
        assert not {"auto_map", "custom_pipelines"} & {*config_of(part), *json.loads((part / "preprocessor_config.json").read_text())}
        assert same(
            pipeline(TASK, model=str(part), detector=KnownFaces(), device="cpu")(noise_photo(), seed=7)["image"],
            exported(noise_photo(), seed=7)["image"],
        )


def test_saving_twice_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    pipe = pipeline(TASK, model=str(folder), device="cpu", detector=KnownFaces())
    for name in ("one", "two"):
        pipe.save_pretrained(tmp_path / name)
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert (tmp_path / name / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_diffusers_round_trip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("diffusers")
    photo = noise_photo()
    pipe = ganon_hf.GanonPipeline(tiny_model(), tiny_processor(), detector=KnownFaces())
    pipe.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model_index.json", "generator", "image_processor"}
    loaded = ganon_hf.GanonPipeline.from_pretrained(tmp_path, detector=KnownFaces())
    assert same(loaded(photo, seed=7).images[0], pipe(photo, seed=7).images[0])
    assert "Expected types" not in caplog.text
    loaded.save_pretrained(tmp_path / "again")
    first, again = (json.loads((path / "model_index.json").read_text()) for path in (tmp_path, tmp_path / "again"))
    assert {name: value for name, value in again.items() if name != "_name_or_path"} == first
    assert "_engine" not in loaded.components and set(loaded.components) == {"generator", "image_processor"}


def test_one_folder_serves_both_libraries(folder: Path, tmp_path: Path) -> None:
    """diffusers takes components from the root where they have no folder of their own."""
    pytest.importorskip("diffusers")
    pipe = ganon_hf.GanonPipeline(tiny_model(), tiny_processor())
    pipe.save_pretrained(tmp_path)
    both = tmp_path / "both"
    tiny_pipeline().save_pretrained(both)
    (both / "model_index.json").write_bytes((tmp_path / "model_index.json").read_bytes())
    loaded = ganon_hf.GanonPipeline.from_pretrained(both, detector=KnownFaces())
    assert same(loaded(noise_photo(), seed=7).images[0], tiny_pipeline()(noise_photo(), seed=7)["image"])
