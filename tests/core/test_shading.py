"""How faces shade themselves: by the shipped answer to light, in the right places and within limits."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at, tiny_model

from ganon_hf.core.alignment import align_face
from ganon_hf.core.face_mesh import MIRROR, MOUTH_START, UV_MAP
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.light_matching import GRID
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.shading import ShadingResponse, light_at_landmarks
from ganon_hf.core.task import CHECKPOINT

SIDE = 256
FACE = face_at(SIDE / 2, SIDE / 2, 180).landmarks
assert FACE is not None
POINTS = align_face(FACE.astype(float), SIDE).to_crop(FACE)
INDEX = triangle_map(POINTS, SIDE)
GRID_INDEX = INDEX[GRID // 2 :: GRID, GRID // 2 :: GRID]
X = np.broadcast_to(np.linspace(-1, 1, SIDE // GRID, dtype=np.float32), GRID_INDEX.shape)
NOSTRIL_LEFT, NOSTRIL_RIGHT = 358, 129  # wings of the nose, on the person's left and right


@pytest.fixture(scope="module")
def response() -> ShadingResponse:
    return ShadingResponse.of(load_model(str(CHECKPOINT)).geometry)


def shade(response: ShadingResponse, light: np.ndarray) -> np.ndarray:
    return response.shade(light, POINTS, INDEX, (0, 0))


def at(values: np.ndarray, landmark: int) -> float:
    return float(light_at_landmarks(values, POINTS, (0, 0))[landmark])


def test_light_from_a_side_throws_a_shadow_on_the_other_one(response: ShadingResponse) -> None:
    """X grows to the picture's right, where the person's left is."""
    from_right = shade(response, 1 + 0.5 * X)
    beside = [at(from_right, point) for point in (NOSTRIL_RIGHT, NOSTRIL_LEFT)]
    assert beside[0] < 0.95 * beside[1], "the side of the nose that is turned away is darker than smooth light makes it"


def test_mirrored_light_gives_mirrored_shading(response: ShadingResponse) -> None:
    """The answer was learned from mirror images, too."""
    light = 1 + 0.4 * X + 0.2 * X.T
    here = light_at_landmarks(light, POINTS, (0, 0))
    change, other = (np.tensordot(response.state(one), response.maps, 1) for one in (here, here[MIRROR[: len(UV_MAP)]]))
    assert np.abs(change[:, ::-1] - other).max() < 0.03 and np.abs(change).max() > 0.1


def test_only_skin_is_shaded_and_by_a_limited_factor(response: ShadingResponse) -> None:
    for light in (1 + 0.9 * X, np.exp(3 * X), 0.01 + np.abs(X.T)):
        factor = shade(response, light.astype(np.float32))
        assert np.isfinite(factor).all() and np.exp(-0.51) < factor.min() and factor.max() < np.exp(0.51)
        assert (factor[(GRID_INDEX < 0) | (GRID_INDEX >= MOUTH_START)] == 1).all()
        assert np.abs(factor[(GRID_INDEX >= 0) & (GRID_INDEX < MOUTH_START)] - 1).max() > 0.05


def test_the_strength_of_light_does_not_matter_and_a_flat_picture_says_nothing(response: ShadingResponse) -> None:
    light = 1 + 0.3 * X
    assert np.allclose(shade(response, light), shade(response, 0.2 * light), atol=1e-4)
    assert (shade(response, np.full_like(X, 0.7)) == 1).all()


def test_a_part_of_the_crop_is_shaded_as_in_the_whole(response: ShadingResponse) -> None:
    light, (x, y) = 1 + 0.4 * X, (16, 24)
    part = response.shade(np.ascontiguousarray(light[y // GRID :, x // GRID :]), POINTS, INDEX[y:, x:], (x, y))
    assert np.allclose(part, shade(response, light)[y // GRID :, x // GRID :], atol=1e-3)


@pytest.mark.parametrize("conditioning", ["mesh", "landmarks"])
def test_without_a_learned_answer_faces_are_even(conditioning: str) -> None:
    model = tiny_model(conditioning=conditioning, image_size=256 if conditioning == "landmarks" else 64)
    assert (shade(ShadingResponse.of(model.geometry), 1 + 0.5 * X) == 1).all()


def test_the_buffers_have_the_shapes_of_the_answer(response: ShadingResponse) -> None:
    assert [values.shape for values in response] == [(468,), (6, 468), (6, 64, 64)]
    assert response.maps.std() > 0.005
