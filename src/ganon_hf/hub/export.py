"""Export a Hub repository for transformers and diffusers: weights, configs, code, card, samples; checked before it appears.

transformers reads ``config.json`` (which names the code and the task) and the flat modules at the root, without this package; diffusers
reads ``model_index.json`` and takes the same files from the root, with this package installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from PIL import Image, ImageChops
from transformers.dynamic_module_utils import get_imports, get_relative_import_files

from .._atomic import atomic_folder
from .._version import __version__
from ..bulk.engine import weights_digest
from ..core.anonymizer import Anonymizer
from ..core.detection_files import DETECTORS, FOLDER, SUMS
from ..core.options import AnonymizeOptions
from ..core.pipeline_ganon import FaceAnonymizationPipeline
from ..evaluation.report.report import Report
from ..image_files import save_image
from .card_pictures import PORTRAIT, anonymize_hard_samples, sample_pictures
from .model_card import HardSample, OnnxFile, fill_card, load_report, read_training_log
from .onnx_export import FILE as ONNX
from .onnx_export import OnnxError, compare, write_onnx

PACKAGE = Path(__file__).parent.parent
REPORT = PACKAGE / "card" / "report.json"  # of the package's own weights; written by scripts/maintain/ship_report.py
ENTRY = "pipeline_ganon"
DIFFUSERS_ENTRY = "pipeline.py"  # the name that diffusers expects
CONFIGS = ("config.json", "preprocessor_config.json", "model.safetensors", "model_index.json")
DETECTOR_FILES = (*SUMS, "LICENSE-MEDIAPIPE", "LICENSE-YUNET", "README.md")
LIBRARIES = {"numpy", "PIL", "torch", "transformers"}  # what exported code may import outside `try`
SEED = 7
# Weights beyond this would be split into several files; no generator of this package comes near.
_ONE_FILE = "50GB"

# What diffusers runs of the folder's own code, with trust_remote_code=True.
_PIPELINE = '''"""For ``DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline="pipeline", trust_remote_code=True)``."""

from __future__ import annotations

try:
    from ganon_hf import GanonPipeline
except ImportError as error:
    raise ImportError("diffusers loads this model with the classes of ganon-hf: pip install 'ganon-hf[diffusers]'.") from error

__all__ = ["GanonPipeline"]
'''

# Runs in a fresh process without this package: photo in, anonymized photo out, by nothing but transformers and the folder.
_FRESH = """
import importlib.abc, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ganon_hf":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hide())
folder, photo, seed, out = sys.argv[1:]
from transformers import pipeline
result = pipeline(model=folder, trust_remote_code=True, device="cpu")(photo, seed=int(seed))
result["image"].save(out)
"""


class ExportError(RuntimeError):
    """The folder could not be written, or failed its check; the message says what."""


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and what the card is filled from.

    Attributes:
        model: folder or Hub name; None takes the weights that come with the package.
        report: ``report.json`` of these very weights; None takes the one that lies beside them, or the package's if it measured them.
        training_log: Markdown file whose newest run made these weights; None takes the project's own for the weights of the package
            in a checkout, and otherwise means that there is no record.
        onnx: also write the generator as ``onnx/model.onnx``.
    """

    model: str | None = None
    report: Path | None = None
    training_log: Path | None = None
    onnx: bool = False


def exported_modules() -> list[str]:
    """Names of the modules a Hub repository needs: the pipeline and whatever it imports from this package, sorted."""
    entry = PACKAGE / "core" / f"{ENTRY}.py"
    return sorted({entry.stem, *(Path(path).stem for path in get_relative_import_files(entry))})


def export(folder: Path, options: ExportOptions) -> list[Path]:
    """Write the folder.

    Args:
        folder: does not exist yet, or is empty. It appears complete and checked, or not at all.
        options: see :class:`ExportOptions`.

    Returns:
        the files, relative to the folder.

    Raises:
        ExportError: the folder is in the way, something that is needed is missing, the report measured other weights, or the check failed.
        OSError, ValueError: the model, the report or the training log cannot be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is not an empty folder; name a new one, or remove it first.")
    log_path = options.training_log or _log_of(options.model)
    training = None if log_path is None else read_training_log(log_path)
    engine = Anonymizer.from_pretrained(options.model)
    report_path = find_report(options, engine)
    report = None if report_path is None else load_report(report_path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as made:
        _write_code_and_weights(made, engine)
        (made / "LICENSE").write_text(_license(), encoding="utf-8")
        if report_path is not None:
            shutil.copyfile(report_path, made / "report.json")
        onnx = _write_onnx(made, engine) if options.onnx else None
        hard_samples, pictures = _write_samples(made / "samples", engine)
        card = fill_card(
            config=json.loads((made / "config.json").read_text(encoding="utf-8")),
            parameters=sum(tensor.numel() for tensor in engine.model.state_dict().values()),
            weights=hashlib.sha256((made / "model.safetensors").read_bytes()).hexdigest(),
            version=__version__,
            report=report,
            training=training,
            hard_samples=hard_samples,
            pictures=pictures,
            onnx=onnx,
        )
        (made / "README.md").write_text(card, encoding="utf-8")
        expected = {
            "README.md",
            "LICENSE",
            DIFFUSERS_ENTRY,
            *CONFIGS,
            *(f"{FOLDER}/{name}" for name in DETECTOR_FILES),
            *(f"{name}.py" for name in exported_modules()),
        }
        expected |= {f"samples/{name}" for name in pictures}
        expected |= ({"report.json"} if report_path else set()) | ({ONNX} if onnx else set())
        check(made, engine, expected)
        for path in made.rglob("*"):  # safetensors writes files that nobody else may read
            path.chmod(0o755 if path.is_dir() else 0o644)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def check(folder: Path, engine: Anonymizer, expected: set[str]) -> None:
    """Check an exported folder.

    Args:
        folder: to check.
        engine: what was exported; the folder must give its pixels.
        expected: names of the files that must be there, and no others.

    Raises:
        ExportError: with everything that was found wrong.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    problems = [f"{name} is missing" for name in sorted(expected - found)] + [
        f"{name} does not belong here" for name in sorted(found - expected)
    ]
    problems += [*_code_problems(folder), *_path_problems(folder)]
    if problems:
        raise ExportError(f"{folder.name} must not be published: {'; '.join(problems)}.")
    if ONNX in expected:
        try:
            compare(folder / ONNX, engine)
        except OnnxError as error:
            raise ExportError(f"{folder.name} must not be published: {error}") from error
    photo = engine(PORTRAIT, AnonymizeOptions(seed=SEED)).image
    for library, picture in (("transformers, without this package", _by_transformers(folder)), ("diffusers", _by_diffusers(folder))):
        if picture.size != photo.size or ImageChops.difference(picture, photo).getbbox() is not None:
            raise ExportError(f"{folder.name} must not be published: {library} gives other pixels than this package.")


def _write_samples(folder: Path, engine: Anonymizer) -> tuple[list[HardSample], list[str]]:
    """Write pictures for the card; returns the outcomes of the hard samples, and the file names."""
    folder.mkdir()
    hard_samples, failures = anonymize_hard_samples(engine)
    pictures = {**sample_pictures(engine), "failures.jpg": failures}
    for name, picture in pictures.items():
        save_image(picture, folder / name, quality=88)
    return hard_samples, sorted(pictures)


def _write_onnx(folder: Path, engine: Anonymizer) -> OnnxFile:
    try:
        return write_onnx(engine, folder / ONNX)
    except OnnxError as error:
        raise ExportError(str(error)) from error


def require_same_weights(report: Report, engine: Anonymizer, path: Path) -> None:
    """A report names the digest of the weights that were measured; figures of others must not stand beside these.

    Raises:
        ExportError: it measured others.
    """
    measured, digest = measured_weights(report), weights_digest(engine)
    if measured != digest:
        raise ExportError(
            f"{path} measured other weights ({measured or 'it does not say which'}) than these ({digest}): evaluate these first."
        )


def find_report(options: ExportOptions, engine: Anonymizer) -> Path | None:
    """The report of the weights: the one that was named, else the one that lies in the model's folder, else the package's if it fits.

    Raises:
        ExportError: one of the first two measured other weights.
        ValueError: it is no report.
    """
    beside = None if options.model is None else Path(options.model) / REPORT.name
    path = options.report or (beside if beside is not None and beside.is_file() else None)
    if path is not None:
        require_same_weights(load_report(path), engine, path)
        return path
    return REPORT if REPORT.is_file() and measured_weights(load_report(REPORT)) == weights_digest(engine) else None


def measured_weights(report: Report) -> str:
    """The digest of the weights that a report measured; empty where it does not say."""
    return str(report.settings.get("model", "")).rpartition("@")[2]


def _log_of(model: str | None) -> Path | None:
    path = PACKAGE.parents[1] / "docs" / "training-log.md"
    return path if model is None and path.is_file() else None


def _write_code_and_weights(folder: Path, engine: Anonymizer) -> None:
    try:
        from ..core.diffusion_pipeline_ganon import GanonPipeline
    except ImportError as error:
        raise ExportError(f"an export serves diffusers, too, and needs it: pip install 'ganon-hf[diffusers]' ({error}).") from error
    pipeline = FaceAnonymizationPipeline(model=engine.model, image_processor=engine.image_processor, device="cpu")
    pipeline.save_pretrained(folder, max_shard_size=_ONE_FILE)
    for name in DETECTOR_FILES:
        shutil.copyfile(DETECTORS / name, folder / FOLDER / name)
    (folder / DIFFUSERS_ENTRY).write_text(_PIPELINE, encoding="utf-8")
    GanonPipeline(engine.model, engine.image_processor).save_config(folder)  # type: ignore[attr-defined]
    index = folder / "model_index.json"
    content = {name: value for name, value in json.loads(index.read_text(encoding="utf-8")).items() if name != "_name_or_path"}
    index.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _license() -> str:
    """The license's text: in an installed package it is metadata, in a checkout it lies at the root."""
    try:
        text = distribution("ganon-hf").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    path = PACKAGE.parents[1] / "LICENSE"
    if text is None and path.is_file():
        text = path.read_text(encoding="utf-8")
    if text is None:
        raise ExportError("the license's text was not found: install ganon-hf as a package, or work in a complete checkout.")
    return text


def _code_problems(folder: Path) -> Iterator[str]:
    """What keeps a module from being loaded elsewhere."""
    names = {path.stem for path in folder.glob("*.py")}
    for path in sorted(folder.glob("*.py")):
        libraries = {name.split(".")[0] for name in get_imports(path)} - LIBRARIES - set(sys.stdlib_module_names)
        if libraries:
            yield f"{path.name} imports {', '.join(sorted(libraries))} outside `try`"
        # the pattern by which transformers finds relative imports, wherever they stand
        missing = set(re.findall(r"^\s*from\s+\.(\S+)\s+import", path.read_text(encoding="utf-8"), re.M)) - names
        if missing:
            yield f"{path.name} imports {', '.join(sorted(missing))}, which is not exported"


def _path_problems(folder: Path) -> Iterator[str]:
    """Paths of this machine in what is published."""
    places = {str(place) for place in (Path.home(), Path.cwd(), PACKAGE, PACKAGE.parents[1], folder.parent, Path(tempfile.gettempdir()))}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".md")):
        text = path.read_text(encoding="utf-8")
        for place in sorted(place for place in places if len(place) > 1 and place + os.sep in text + os.sep):
            yield f"{path.name} names {place}"
        if path.suffix == ".json" and (absolute := re.search(r'"((?:/|[A-Za-z]:\\\\)[^"]*)"', text)):
            yield f"{path.name} has the absolute path {absolute.group(1)}"
    for path in sorted(folder.rglob("*.onnx")):
        content = path.read_bytes()
        for place in sorted(place for place in places if len(place) > 1 and (place + os.sep).encode() in content):
            yield f"{path.name} names {place}"


def _by_transformers(folder: Path) -> Image.Image:
    """The sample photo, anonymized in a fresh process that cannot import this package."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out.png"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
        environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": temporary}
        command = [sys.executable, "-I", "-c", _FRESH, str(folder.resolve()), str(PORTRAIT), str(SEED), str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=temporary, env=environment)
        except subprocess.TimeoutExpired as error:
            raise ExportError("loading the folder with transformers took longer than ten minutes.") from error
        if done.returncode or not out.is_file():
            raise ExportError(f"transformers cannot use the folder without this package:\n{done.stderr[-3000:]}")
        with Image.open(out) as image:
            return image.convert("RGB")


def _by_diffusers(folder: Path) -> Image.Image:
    from ..core.diffusion_pipeline_ganon import GanonPipeline

    pipeline = GanonPipeline.from_pretrained(str(folder))
    return pipeline(PORTRAIT, seed=SEED).images[0]
