"""What importing costs, and how the task gets known to transformers whichever is imported first."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from standins import cpu_seconds

import ganon_hf
from ganon_hf import _register

HEAVY = ("torch", "transformers", "onnxruntime", "ai_edge_litert", "diffusers", "cv2", "numpy", "PIL", "huggingface_hub", "typer")


def python(code: str, *, timeout: float = 240) -> str:
    """Run code in a fresh process with every warning shown as an error of its own kind; returns what it printed."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    assert python(f"import sys, ganon_hf; print(*[name for name in {HEAVY} if name in sys.modules])") == ""


def test_help_loads_nothing_heavy() -> None:
    heavy = [name for name in HEAVY if name != "typer"]
    code = f"""
import sys
from ganon_hf.cli import main as cli
try:
    cli.app(args=["--help"])
except SystemExit:
    print("loaded:", *[name for name in {heavy} if name in sys.modules])
"""
    assert python(code).splitlines()[-1] == "loaded:"


def test_worker_processes_may_import_the_module_that_is_run() -> None:
    """Of ``python -m ganon_hf evaluate ...``: they import it under this name, and must not run the command again."""
    assert python("import runpy; runpy.run_module('ganon_hf.__main__', run_name='__mp_main__')") == ""


def test_import_takes_less_than_half_a_second() -> None:
    assert cpu_seconds([sys.executable, "-c", "import ganon_hf"]) < 0.5


def test_public_names_agree_everywhere() -> None:
    """The lazy table, ``__all__`` and the block for type checkers say the same."""
    assert set(ganon_hf.__all__) == {*ganon_hf._PUBLIC, "__version__"}
    tree = ast.parse(Path(ganon_hf.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == ganon_hf._PUBLIC
    assert dir(ganon_hf) == sorted(ganon_hf.__all__), "and nothing else"


@pytest.mark.parametrize("name", [name for name in ganon_hf.__all__ if name != "GanonPipeline"])
def test_every_public_name_loads(name: str) -> None:
    assert getattr(ganon_hf, name) is not None


@pytest.mark.detection
@pytest.mark.parametrize(
    "order", ["import ganon_hf\nfrom transformers import pipeline", "from transformers import pipeline\nimport ganon_hf"]
)
def test_the_three_lines_of_the_readme_say_nothing(order: str, astronaut_path: Path, tmp_path: Path) -> None:
    """No warning about a model that was not named, no progress bar; both are as before for others."""
    code = f"""
{order}
pipeline("face-anonymization")({str(astronaut_path)!r}, seed=7)["image"].save({str(tmp_path / "a.png")!r})
ganon_hf.Anonymizer.from_pretrained()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and (tmp_path / "a.png").is_file()
    code = f"""
{order}
import logging
from transformers.utils.logging import is_progress_bar_enabled
assert is_progress_bar_enabled()
pipeline("face-anonymization")
assert is_progress_bar_enabled()
logging.getLogger("transformers.pipelines").warning("No model was supplied, defaulted to another one")
"""
    assert "another one" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize("order", ["import ganon_hf, diffusers", "import diffusers, ganon_hf"])
def test_diffusers_knows_the_class_that_a_model_index_names(order: str, tmp_path: Path) -> None:
    """So that ``DiffusionPipeline.from_pretrained`` loads an exported folder."""
    pytest.importorskip("diffusers")
    from tiny import tiny_model, tiny_processor

    pipeline = ganon_hf.GanonPipeline(tiny_model(), tiny_processor())
    pipeline.save_config(tmp_path)
    pipeline.generator.save_pretrained(tmp_path)
    pipeline.image_processor.save_pretrained(tmp_path)
    code = f"{order}; print(type(diffusers.DiffusionPipeline.from_pretrained({str(tmp_path)!r})).__module__)"
    assert python(code) == "ganon_hf.core.diffusion_pipeline_ganon"


def test_diffusers_pipeline_loads_where_diffusers_is_installed() -> None:
    pytest.importorskip("diffusers")
    assert ganon_hf.GanonPipeline is not None


def test_what_is_registered_by_name_is_the_model_in_the_package() -> None:
    from ganon_hf.core.modeling_ganon import GanonConfig
    from ganon_hf.core.task import CHECKPOINT

    assert {path.name for path in CHECKPOINT.iterdir()} >= {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert GanonConfig.model_type == _register.MODEL_TYPE


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        ganon_hf.Nothing  # noqa: B018


# One process per import order; each checks everything that needs a fresh transformers (its import takes seconds).
CHECK = """
import transformers.pipelines as pipelines
def known():
    task = pipelines.PIPELINE_REGISTRY.supported_tasks["face-anonymization"]
    assert pipelines._resolve_impl(task["impl"]).__name__ == "FaceAnonymizationPipeline", task
    assert pipelines.get_default_model_and_revision(task, None)[0].endswith("checkpoint")
    config = transformers.AutoConfig.for_model("ganon")
    assert type(config).__name__ == "GanonConfig" and type(config).__module__ == "ganon_hf.core.modeling_ganon"
known()
"""


def test_ours_first_then_threads_and_reload() -> None:
    code = f"""
import importlib, sys, threading
import ganon_hf
assert "transformers" not in sys.modules
import transformers  # light and lazy; its own first import does not bear several threads, with or without this package
errors = []
def use(module):
    try:
        importlib.import_module(module)
    except BaseException as error:
        errors.append(error)
names = ["transformers.pipelines", "ganon_hf.core.pipeline_ganon", "ganon_hf.core.image_processing_ganon", "transformers.pipelines"]
threads = [threading.Thread(target=use, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors, errors
{CHECK}
assert pipelines.__spec__.loader is pipelines.__loader__ and type(pipelines.__loader__).__module__ != "ganon_hf._register"
importlib.reload(pipelines)
known()
importlib.reload(ganon_hf._register)
importlib.reload(ganon_hf)
assert sum(type(finder).__module__ == "ganon_hf._register" for finder in sys.meta_path) == 1
del pipelines.PIPELINE_REGISTRY.supported_tasks["face-anonymization"]
importlib.reload(pipelines)
known()
print("good")
"""
    assert python(code) == "good"


def test_transformers_first() -> None:
    assert python(f"import transformers.pipelines, transformers, ganon_hf\n{CHECK}\nprint('good')") == "good"


def test_pipeline_module_first() -> None:
    """The pipeline module itself imports transformers.pipelines: the hook runs while it is half loaded."""
    assert python(f"import ganon_hf.core.pipeline_ganon, transformers\n{CHECK}\nprint('good')") == "good"


def test_without_transformers_the_package_imports_and_other_imports_work() -> None:
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "transformers":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import ganon_hf
print(ganon_hf.Face.__name__)
try:
    import transformers.pipelines
except ModuleNotFoundError:
    print("missing")
"""
    assert python(code).split() == ["Face", "missing"]


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("transformers.pipelines", "PIPELINE_REGISTRY"),
        ("transformers.models.auto.configuration_auto", "CONFIG_MAPPING_NAMES"),
        ("transformers.models.auto.image_processing_auto", "IMAGE_PROCESSOR_MAPPING_NAMES"),
    ],
)
def test_a_transformers_that_does_not_fit_is_a_warning_not_an_error(name: str, lacks: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"{name} .*{lacks}"):
        _register._register_or_warn(ModuleType(name))


# How somebody may come by the Auto classes, and which one is used first. A process takes seconds, so not every pair of the two.
AUTO = {
    "ours first": ("AutoConfig", "import ganon_hf\nfrom transformers import AutoConfig, AutoImageProcessor, AutoModel"),
    "transformers first": ("AutoImageProcessor", "from transformers import AutoConfig, AutoImageProcessor, AutoModel\nimport ganon_hf"),
    "transformers first, model": ("AutoModel", "from transformers import AutoConfig, AutoImageProcessor, AutoModel\nimport ganon_hf"),
    "a base class and the modules": (
        "AutoImageProcessor",
        """
import ganon_hf
from transformers import PreTrainedModel
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.auto.modeling_auto import AutoModel
from transformers.models.auto.configuration_auto import AutoConfig""",
    ),
}


@pytest.mark.parametrize(("first", "order"), AUTO.values(), ids=AUTO)
def test_auto_classes_know_the_model_without_any_pipeline(first: str, order: str) -> None:
    """Of a folder that names no code; and what is not used is not loaded."""
    code = f"""
import sys
{order}
AutoConfig.for_model("bert")  # somebody else's
assert not [name for name in sys.modules if name.startswith("ganon_hf.core.") and name != "ganon_hf.core.task"], "loaded before use"
from ganon_hf.core.task import CHECKPOINT
for kind in ({first}, AutoConfig, AutoModel, AutoImageProcessor):
    made = kind.from_pretrained(str(CHECKPOINT))
    assert type(made).__module__.startswith("ganon_hf.core."), type(made)
assert type(AutoConfig.for_model("ganon")).__name__ == "GanonConfig"
assert "transformers.pipelines" not in sys.modules and "ganon_hf.core.detection_search" not in sys.modules, "loaded and not used"
print("good")
"""
    assert python(code) == "good"


def test_auto_classes_in_threads() -> None:
    code = """
import ganon_hf, threading
from transformers import AutoConfig, AutoImageProcessor, AutoModel  # transformers' own first import does not bear several threads
from ganon_hf.core.task import CHECKPOINT
errors, loaded = [], []
def run(use):
    try:
        loaded.append(use())
    except BaseException as error:
        errors.append(error)
uses = [lambda kind=kind: kind.from_pretrained(str(CHECKPOINT)) for kind in (AutoConfig, AutoModel, AutoImageProcessor, AutoConfig)]
uses += [lambda: ganon_hf.GanonModel, lambda: ganon_hf.Anonymizer]
threads = [threading.Thread(target=run, args=(use,)) for use in uses]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors and len(loaded) == 6, errors
print("good")
"""
    assert python(code) == "good"


@pytest.mark.parametrize("names", [(), ("AnonymizeRows",)])
def test_the_room_for_many_photos_is_light_to_import(names: tuple[str, ...]) -> None:
    """Neither Ray nor pyarrow nor torch before somebody uses what needs them; the rows of ``datasets`` need no Parquet and no Ray."""
    absent = ("ray", "pyarrow", "fsspec", "torch", "transformers", *(() if names else ("numpy", "PIL")))
    code = (
        f"import sys, ganon_hf.bulk as bulk; [getattr(bulk, name) for name in {names}]; print(*[m for m in {absent} if m in sys.modules])"
    )
    assert python(code) == ""


def test_public_names_of_the_room_for_many_photos() -> None:
    from ganon_hf import bulk

    assert set(bulk.__all__) == set(bulk._PUBLIC) == set(dir(bulk))
    for name in bulk.__all__:
        pytest.importorskip("pyarrow")
        assert getattr(bulk, name).__module__ == f"ganon_hf.bulk.{bulk._PUBLIC[name]}"
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        bulk.Nothing  # noqa: B018
