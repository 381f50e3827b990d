"""The weights that come with the package are those that docs/checkpoint.md describes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_model

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import GanonModel
from ganon_hf.core.people import look_of
from ganon_hf.core.task import CHECKPOINT
from ganon_hf.evaluation.report.people_sheet import EXPRESSIONS, ExpressionSpace, portrait
from ganon_hf.training.checkpoints import save_model


@pytest.fixture(scope="module")
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


def test_it_is_small_enough_to_come_along_and_has_every_part(engine: Anonymizer) -> None:
    assert {path.name for path in CHECKPOINT.iterdir()} == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 48 * 2**20
    assert len(engine.population.shapes) >= 150 and engine.model.look is not None
    for name, tensor in engine.model.state_dict().items():
        assert torch.isfinite(tensor).all() and tensor.abs().max() > 0, f"{name} was never fitted"


def test_people_have_the_detail_of_skin_and_no_checkerboard(engine: Anonymizer) -> None:
    """Luma of synthetic neutral faces: more fine structure than the prior's, and no pattern of every second pixel."""
    space, side = ExpressionSpace(engine.shape_model), engine.model.config.image_size
    face = space.face(EXPRESSIONS["neutral"], side)
    people = np.stack([portrait(engine, face, side, seed).mean(axis=2) for seed in range(4)])
    bare = copy.deepcopy(engine.model)
    assert bare.people is not None
    bare.people.luma.zero_()
    coarse = np.stack([portrait(Anonymizer(bare, engine.image_processor), face, side, seed).mean(axis=2) for seed in range(4)])
    inner = np.s_[:, side // 3 : side * 2 // 3, side // 3 : side * 2 // 3]
    fine = [(np.diff(pictures, axis=2)[inner] ** 2).mean() for pictures in (people, coarse)]
    assert fine[0] > 1.2 * fine[1]
    spectrum = np.abs(np.fft.fft2(people[inner] - people[inner].mean(axis=(1, 2), keepdims=True))).mean(axis=0)
    half = spectrum.shape[0] // 2
    near = np.median(spectrum[half - 6 : half + 7, half - 6 : half + 7])
    assert spectrum[half, half] < 6 * near and spectrum[half, 0] < 6 * np.median(spectrum[half - 6 : half + 7, :3])


def test_the_bank_has_everybody(engine: Anonymizer) -> None:
    """Men and women of every age, toddlers and children, with and without beards, of every shade."""
    looks = [look_of(classes) for classes in engine.population.looks]
    people = {(look.age, look.sex, look.beard) for look in looks}
    adults = {(age, sex, beard) for age in ("young", "middle", "old") for sex, beard in (("woman", False), ("man", False), ("man", True))}
    assert people == {("toddler", "unsure", False), ("child", "unsure", False), *adults}
    for age in ("young", "middle", "old"):
        assert {look.skin for look in looks if look.age == age} >= {"light", "dark"}, age
    adults_shapes = engine.population.shapes[[look.age not in ("toddler", "child") for look in looks]]
    assert len(engine.population.mouths.levels) >= 40 and 1.0 < adults_shapes.std() < 1.7, "as varied as people, or more"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_shows_the_same_people(engine: Anonymizer, dtype: torch.dtype) -> None:
    """Loaded in half precision, where geometry and prior stay exact, and cast whole."""
    space, side = ExpressionSpace(engine.shape_model), engine.model.config.image_size
    face = space.face(EXPRESSIONS["smile"], side)
    expected = portrait(engine, face, side, 7).astype(float)
    loaded = GanonModel.from_pretrained(CHECKPOINT, dtype=dtype)
    for model, limit in ((loaded, 1.0), (copy.deepcopy(engine.model).to(dtype), 3.0)):
        made = portrait(Anonymizer(model, engine.image_processor), face, side, 7)
        drawn = (made.max(axis=2) > 0) | (expected.max(axis=2) > 0)
        assert drawn.mean() > 0.3 and np.abs(made - expected)[drawn].mean() < limit  # pixel values


def test_seeds_are_people_and_an_expression_is_not_another_person(engine: Anonymizer) -> None:
    """Eyes and brows of six people in two expressions: the same person smiling is nearer than anybody else, and all differ."""
    space, side = ExpressionSpace(engine.shape_model), engine.model.config.image_size
    eyes = np.s_[side // 4 : side // 2, side // 4 : side * 3 // 4]
    shown = []
    for name in ("neutral", "smile"):
        face = space.face(EXPRESSIONS[name], side)
        people = np.stack([portrait(engine, face, side, seed)[eyes].mean(axis=2) for seed in range(6)]).reshape(6, -1)
        shown.append(people - people.mean(axis=0))
    likeness = np.corrcoef(shown[0], shown[1])[:6, 6:]
    assert (likeness.argmax(axis=1) == np.arange(6)).all()
    assert np.abs(shown[0][:, None] - shown[0][None]).mean(axis=2)[~np.eye(6, dtype=bool)].min() > 3  # levels


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: {name: value for name, value in weights.items() if "shading_" not in name}, "before faces shaded themselves"),
        (lambda weights: {name: value for name, value in weights.items() if "people_irises" not in name}, "irises of their own size"),
        (lambda weights: {name: value for name, value in weights.items() if "people_lids" not in name}, "eyes that are open as far as"),
        (lambda weights: weights | {"geometry.people_centers": torch.zeros(2)}, "before the bank of people"),
        (lambda weights: weights | {"other": torch.zeros(2)}, "do not fit this model"),
    ],
)
def test_weights_of_another_version_say_what_to_do(change: Callable[[dict[str, torch.Tensor]], Any], message: str, tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=message):
        load_model(str(tmp_path))
