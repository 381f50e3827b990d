"""The layout holds: imports go one way, the Hub set can be loaded on the Hub, everything public is documented."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganon_hf

PACKAGE = Path(ganon_hf.__file__).parent

# A file imports only from files before it. The first part is exported to the Hub, flat.
HUB_SET = (
    "faces",
    "photos",
    "topology",
    "landmarks",
    "geometry",
    "modeling_ganon",
    "alignment",
    "reshaping",
    "compositing",
    "skin",
    "tiling",
    "landmarker_file",
    "detection_graphs",
    "detection_blazeface",
    "detection_tiled",
    "detection",
    "image_processing_ganon",
    "plausibility",
    "anonymizer",
    "pipeline_ganon",
    "diffusion_pipeline_ganon",
)
PACKAGE_ONLY = (
    "_register",
    "files",
    "loading",
    "jobs",
    "workers",
    "batch",
    "rows",
    "sharding",
    "video",
    "detection_matte",
    "training",
    "evaluation",
    "scale",
    "model_card",
    "card_pictures",
    "export_onnx",
    "export",
    "publish",
    "cli_exit",
    "cli_options",
    "cli_engine",
    "cli_hub",
    "cli_video",
    "cli_scale",
    "cli",
    "__init__",
)
ORDER = HUB_SET + PACKAGE_ONLY

# What a Hub file may import outside `try`: transformers refuses to load files whose imports are missing, even inside functions.
HUB_LIBRARIES = {"numpy", "PIL", "torch", "transformers"}
ALSO = {"diffusion_pipeline_ganon": {"diffusers", "huggingface_hub"}}
CONVENTIONAL = {"forward", "to_dict"}  # methods whose meaning is fixed by torch and by the class; properties too may say it by their name
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The layer a file belongs to: its name, or the name of its folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def guarded(tree: ast.AST) -> set[ast.AST]:
    """Everything inside the bodies of ``try``."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Try)]
    return {inner for body in bodies for statement in body for inner in ast.walk(statement)}


def imports(path: Path) -> Iterator[tuple[ast.AST, str, str | None]]:
    """(node, library or "", our module or None) of every import statement in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                yield node, first, rest[0] if first == "ganon_hf" and rest else None
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")
            if node.level == 0:
                yield node, module[0], module[1] if module[0] == "ganon_hf" and len(module) > 1 else None
            else:
                if node.level < len(path.relative_to(PACKAGE).parts):  # a neighbour in the same folder
                    yield node, "", room(path)
                else:
                    for name in [module[0]] if module[0] else [alias.name for alias in node.names]:
                        yield node, "", name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_has_a_place(path: Path) -> None:
    assert room(path) in ORDER, f"say in tests/contract/test_layers.py and docs where {path.name} stands"


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != "__init__"], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    for node, _, ours in imports(path):
        if ours is None or ours not in ORDER or ours == room(path):
            continue
        if ours == "__init__" or ORDER.index(ours) > ORDER.index(room(path)):
            pytest.fail(f"{path.name}:{node.lineno} imports {ours}, which stands further down")  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in HUB_SET if (PACKAGE / f"{name}.py").exists()])
def test_hub_file_can_be_loaded_on_the_hub(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    source = path.read_text()
    tree = ast.parse(source)
    inside_try = {(node.lineno, node.col_offset) for node in guarded(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    allowed = HUB_LIBRARIES | ALSO.get(name, set()) | set(sys.stdlib_module_names)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module and "." not in node.module, f"{name}:{node.lineno}: only `from .name import x` is copied"
            assert node.module in HUB_SET, f"{name}:{node.lineno}: {node.module} is not exported"
        elif isinstance(node, ast.Import | ast.ImportFrom) and (node.lineno, node.col_offset) not in inside_try:
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for module in modules:
                assert module.split(".")[0] in allowed, f"{name}:{node.lineno}: {module} must stand inside `try`"
    # transformers finds relative imports with this pattern, in docstrings and comments too
    found = set(re.findall(r"^\s*import\s+\.(\S+)\s*$", source, re.M)) | set(re.findall(r"^\s*from\s+\.(\S+)\s+import", source, re.M))
    real = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    assert found <= real, f"{name}: a line of text looks like an import of {found - real}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    missing = [] if ast.get_docstring(tree) else ["the module"]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            accessor = any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list)
            if not ast.get_docstring(node) and not accessor and node.name not in CONVENTIONAL:
                missing.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")

    look(tree.body, "")
    assert not missing, f"{path.name}: no docstring on {', '.join(missing)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_prints_no_bare_excepts_no_asserts_in_the_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            pytest.fail(f"{path.name}:{node.lineno} prints; the command line speaks, the library returns or raises")
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            pytest.fail(f"{path.name}:{node.lineno} catches everything without a name")
        if isinstance(node, ast.Assert):
            pytest.fail(f"{path.name}:{node.lineno} asserts; asserts disappear under -O, raise instead")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path: Path) -> None:
    limit = 550 if room(path) == "modeling_ganon" else 400  # diffusers loads that file alone, so it cannot be split
    assert len(path.read_text().splitlines()) <= limit
