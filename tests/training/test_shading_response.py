"""What is learned of shading is what the light decides, and nothing that belongs to single faces or to all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from script_loading import load_script
from tiny import tiny_engine, tiny_model
from training_faces import face_rows

from ganon_hf.core.face_mesh import MIRROR, UV_MAP
from ganon_hf.core.model_loading import load_model
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.shading_response import MAP_SIZE, ShadedFaces, compare_shading, fit_response, replaced_evenly
from ganon_hf.training.shards import SCHEMA, FaceShards
from ganon_hf.training.textures import FaceSample

COUNT = 240
ACROSS = UV_MAP[:, 0] - 0.5  # along the face's width


def shards() -> FaceShards:
    return FaceShards.from_table(pa.Table.from_pylist(face_rows(6), schema=SCHEMA))


def shaded(noise: float, *, common: float = 0.0) -> tuple[ShadedFaces, np.ndarray]:
    """Faces under light from either side, and the map of the shadow that it throws."""
    generator = np.random.default_rng(0)
    side = generator.normal(0, 0.3, COUNT)
    light = np.exp(side[:, None] * ACROSS + generator.normal(0, 0.002, (COUNT, len(ACROSS))))
    v, u = (np.mgrid[:MAP_SIZE, :MAP_SIZE] + 0.5) / MAP_SIZE - 0.5
    shadow = (np.sin(12 * u) * np.exp(-20 * (u**2 + v**2))).astype(np.float32)
    difference = side[:, None, None] * shadow + common + noise * generator.standard_normal((COUNT, MAP_SIZE, MAP_SIZE))
    return ShadedFaces(light.astype(np.float32), difference.astype(np.float32), np.ones(difference.shape, bool)), shadow


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.99), (0.3, 0.6)])
def test_the_shadow_of_a_light_is_found(noise: float, least: float) -> None:
    faces, shadow = shaded(noise)
    response = fit_response(faces)
    state = response.state(np.exp(0.3 * ACROSS))
    change = np.tensordot(state, response.maps, 1)
    assert np.corrcoef(change.ravel(), shadow.ravel())[0, 1] > least
    assert 0.8 < np.abs(change).max() / np.abs(0.3 * shadow).max() < (1.2 if noise == 0 else 3)


def test_what_all_faces_differ_by_is_no_shading() -> None:
    plain, biased = (fit_response(shaded(0.0, common=common)[0]) for common in (0.0, 0.4))
    assert np.abs(plain.maps - biased.maps).max() < 1e-3


def test_a_mirrored_light_has_the_mirrored_answer() -> None:
    response = fit_response(shaded(0.0)[0])
    light = np.exp(0.3 * ACROSS + 0.1 * ACROSS**2)
    here, there = (np.tensordot(response.state(one), response.maps, 1) for one in (light, light[MIRROR[: len(UV_MAP)]]))
    assert np.abs(here[:, ::-1] - there).max() < 0.02


def test_equal_faces_have_no_difference_and_no_faces_are_refused() -> None:
    real = [shards().sample(row) for row in range(3)]
    found = compare_shading(iter([(one, one, np.ones(len(UV_MAP), np.float32)) for one in real]))
    assert not found.difference.any() and found.visible.any() and found.light.shape == (3, len(UV_MAP))
    with pytest.raises(ValueError, match="none were replaced"):
        compare_shading(iter([]))


def test_real_faces_are_replaced_and_their_light_is_told() -> None:
    faces, engine = shards(), tiny_engine()
    for name, value in engine.model.geometry.named_buffers():  # whatever the model has learned is left out
        if name.startswith("shading_"):
            value.normal_()
    found = list(replaced_evenly(engine, faces, [1, 2]))
    plain = list(replaced_evenly(tiny_engine(), faces, [1, 2]))
    for (real, synthetic, light), (_, other, _), row in zip(found, plain, (1, 2), strict=True):
        assert isinstance(synthetic, FaceSample) and np.array_equal(real.image, faces.image(row))
        assert not np.array_equal(synthetic.image, real.image) and np.array_equal(synthetic.image, other.image)
        assert light.shape == (len(UV_MAP),) and (light > 0).all()


def test_the_script_changes_nothing_but_the_shading(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path / "model")
    before = load_model(str(tmp_path / "model")).state_dict()
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(face_rows(9), schema=SCHEMA), path)
    load_script("fit/shading").main([str(tmp_path / "model"), str(path), "--output-dir", str(tmp_path / "out")])
    after = load_model(str(tmp_path / "out")).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("geometry.shading_") for name in changed)
