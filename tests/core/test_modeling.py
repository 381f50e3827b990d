"""GanonModel: the published generator number by number, and the mesh generator's two parts."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import face_at, tiny_model, tiny_processor

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.modeling_ganon import (
    GanonConfig,
    GanonModel,
    PeopleTextures,
    RefinementNetwork,
    sample_texture,
    shape_features,
    ycbcr_to_rgb,
)

# name -> (output or input channels first, as torch keeps it); every norm is without parameters
PUBLISHED = {
    "down1.model.0.weight": (64, 3, 4, 4),
    "down2.model.0.weight": (128, 64, 4, 4),
    "down3.model.0.weight": (256, 128, 4, 4),
    "down4.model.0.weight": (512, 256, 4, 4),
    "down5.model.0.weight": (512, 512, 4, 4),
    "down6.model.0.weight": (512, 512, 4, 4),
    "down7.model.0.weight": (512, 512, 4, 4),
    "down8.model.0.weight": (512, 512, 4, 4),
    "up1.model.0.weight": (512, 512, 4, 4),
    "up2.model.0.weight": (1024, 512, 4, 4),
    "up3.model.0.weight": (1024, 512, 4, 4),
    "up4.model.0.weight": (1024, 512, 4, 4),
    "up5.model.0.weight": (1024, 256, 4, 4),
    "up6.model.0.weight": (512, 128, 4, 4),
    "up7.model.0.weight": (256, 64, 4, 4),
    "final.2.weight": (3, 128, 4, 4),
    "final.2.bias": (3,),
}
# Computed once with the network of the paper's authors (float32, CPU), filled and fed as below: output[0, :, 17::110, 33::110].
REFERENCE = """
-0.415450 -0.896600 -0.369296 -0.999700 -0.833842 -0.946839 0.468606 -0.932579 -0.857027 0.763010 -0.526682 -0.012005 0.796052 -0.486764
-0.291853 0.268155 0.426569 0.744404 -0.885168 0.207263 -0.136718 -0.354463 0.021262 0.631549 -0.260730 0.686983 0.095366
"""


@pytest.fixture(scope="module")
def paper_model() -> GanonModel:
    model = GanonModel(GanonConfig(conditioning="landmarks", num_identity=4, num_expression=3))
    weights = {}
    for number, (name, shape) in enumerate(PUBLISHED.items()):
        weights[name] = torch.randn(shape, generator=torch.Generator().manual_seed(number)) * 0.05
    assert model.generator is not None
    model.generator.load_state_dict(weights, strict=True)
    return model.eval()


def inputs(batch: int = 1) -> dict[str, torch.Tensor]:
    """Conditions of a frontal and a turned face, as the image processor draws them."""
    points = [face_at(32, 32, 50, yaw=yaw).landmarks for yaw in (0, 25)][:batch]
    return dict(tiny_processor().preprocess(points))


def test_published_generator_has_its_tensors(paper_model: GanonModel) -> None:
    assert paper_model.generator is not None
    tensors = {name: tuple(tensor.shape) for name, tensor in paper_model.generator.state_dict().items()}
    assert tensors == PUBLISHED
    assert sum(math.prod(shape) for shape in tensors.values()) == 54_404_099


def test_published_generator_computes_its_numbers(paper_model: GanonModel) -> None:
    dots = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(99)).clamp(-1, 1)
    with torch.inference_mode():
        images = paper_model(dots).images
    assert images.shape == (1, 3, 256, 256)
    assert images.mean().item() == pytest.approx(-0.178760, abs=2e-4)
    assert images.std().item() == pytest.approx(0.669225, abs=2e-4)
    expected = torch.tensor([float(value) for value in REFERENCE.split()])
    torch.testing.assert_close(images[0, :, 17::110, 33::110].flatten(), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("channels", [0, 8])
def test_saving_and_loading_gives_the_same_faces(tmp_path: Path, channels: int) -> None:
    model = tiny_model(refinement_channels=channels)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = GanonModel.from_pretrained(tmp_path)
    assert {**loaded.config.to_dict(), "_name_or_path": ""} == model.config.to_dict()
    assert {name: tensor.shape for name, tensor in loaded.state_dict().items()} == {n: t.shape for n, t in model.state_dict().items()}
    with torch.inference_mode():
        assert torch.equal(loaded(**inputs(2)).images, model(**inputs(2)).images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_halves_the_networks_and_nothing_else(tmp_path: Path, dtype: torch.dtype) -> None:
    tiny_model(refinement_channels=8).save_pretrained(tmp_path)
    model = GanonModel.from_pretrained(tmp_path, dtype=dtype)
    kinds = {name.split(".")[0]: tensor.dtype for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    assert kinds == {"geometry": torch.float32, "prior": torch.float32, "people": torch.float32, "refinement": dtype}
    with torch.inference_mode():
        torch.testing.assert_close(model(**inputs(2)).images, tiny_model()(**inputs(2)).images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("how", ["loaded", "cast"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_the_same_face(tmp_path: Path, dtype: torch.dtype, how: str) -> None:
    """With textures of more than 32767 texels, of which torch's grid_sample on a CPU loses count in half precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # one in forty of all tiny models has a pixel that differs by more
        exact = tiny_model(refinement_channels=8, texture_size=192)
    assert exact.refinement is not None
    torch.nn.init.normal_(exact.refinement.out.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    if how == "loaded":
        exact.save_pretrained(tmp_path)
    half = GanonModel.from_pretrained(tmp_path, dtype=dtype) if how == "loaded" else copy.deepcopy(exact).to(dtype)
    appearance = torch.tensor([[1.0, -1.0, 0.5, 2.0]]).repeat(2, 1)
    with torch.inference_mode():
        expected, made = (model(**inputs(2), appearance=appearance) for model in (exact, half))
    assert made.images.dtype == torch.float32 and torch.isfinite(made.images).all()
    assert (expected.images - expected.coarse).abs().mean() * 127.5 > 1, "the network is part of it"
    difference = (made.images - expected.images).abs() * 127.5  # pixel values
    assert difference.mean() < 0.5 and difference.max() < 25


def test_half_precision_of_the_published_generator(paper_model: GanonModel) -> None:
    """The network alone is half, as ``from_pretrained`` leaves it."""
    half = copy.deepcopy(paper_model)
    assert half.generator is not None
    half.generator.to(torch.bfloat16)
    dots = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.inference_mode():
        expected, made = (model(dots).images for model in (paper_model, half))
    assert made.dtype == torch.float32 and ((made - expected).abs().mean() * 127.5) < 8  # noise through random weights


@pytest.mark.parametrize("part", ["prior.luma", "prior.chroma", "refinement.out.bias", "refinement.canonical"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_visible(part: str, value: float) -> None:
    """Limited to [-1, 1] infinity would be a color like others."""
    model = tiny_model(refinement_channels=8 if part.startswith("refinement") else 0)
    if model.refinement is not None:
        torch.nn.init.normal_(model.refinement.out.weight, std=0.05)
    where = model.get_parameter(part).data
    where[(0, ..., *(side // 2 for side in where.shape[-2:])) if where.ndim > 2 else 0] = value  # a single texel
    with torch.inference_mode():
        assert torch.isnan(model(**inputs()).images).any()


def test_mixed_precision_leaves_the_prior_exact() -> None:
    model = tiny_model(refinement_channels=8)
    with torch.inference_mode():
        exact = model(**inputs(2))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(**inputs(2))
    assert torch.equal(mixed.coarse, exact.coarse)


def test_refinement_is_the_identity_until_it_is_trained() -> None:
    model = tiny_model(refinement_channels=8)
    with torch.inference_mode():
        output = model(**inputs(2))
    assert torch.equal(output.images, output.coarse)
    assert sum(parameter.abs().sum().item() for parameter in model.refinement.parameters()) > 0  # type: ignore[union-attr]


def test_refinement_changes_the_face_once_it_is_trained() -> None:
    model = tiny_model(refinement_channels=8)
    assert isinstance(model.refinement, RefinementNetwork)
    torch.nn.init.constant_(model.refinement.out.bias, 0.1)
    with torch.inference_mode():
        output = model(**inputs())
        gray = model(**inputs(), grayscale=torch.ones(1, 1))
    mask = inputs()["pixel_values"][:, 2:3] > 0
    inner = (mask & (output.coarse > -0.8) & (output.coarse < 0.6)).all(dim=1, keepdim=True).expand_as(output.coarse)
    added = (output.images - output.coarse)[inner].view(3, -1)  # 0.1 of luma, Cb and Cr each, as RGB by JFIF
    torch.testing.assert_close(added, torch.tensor([0.2402, -0.0058272, 0.2772])[:, None].expand_as(added), atol=1e-5, rtol=0)
    assert torch.equal(output.images[~mask.expand_as(output.images)], output.coarse[~mask.expand_as(output.coarse)])
    assert (gray.images - gray.coarse).std(dim=1).max() < 1e-5, "no color is added to a gray face"


def test_refinement_of_the_mesh_alone_is_that_of_the_square() -> None:
    model = tiny_model(refinement_channels=8)
    torch.nn.init.normal_(model.refinement.out.weight, std=0.1, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    everything = inputs(2)
    with torch.inference_mode():
        fast = model(**everything)
        model.train()  # in training the whole square is looked at
        whole = model(**everything)
    assert (whole.images - whole.coarse).abs().max() > 0.05
    # what differs is what lies beyond the cut region: zeros or the network's answer to zeros
    torch.testing.assert_close(fast.images, whole.images, atol=0.02, rtol=0)


def test_appearance_makes_the_person_and_gray_has_no_color() -> None:
    model = tiny_model()
    one, two = torch.zeros(1, 4), torch.ones(1, 4)
    with torch.inference_mode():
        faces = [model(**inputs(), appearance=appearance).images for appearance in (one, two)]
        nobody = model(**inputs()).images
        gray = model(**inputs(), appearance=two, grayscale=torch.ones(1, 1)).images
    assert torch.equal(faces[0], nobody), "no appearance is the mean person"
    assert (faces[0] - faces[1]).abs().max() > 0.05
    assert (gray.amax(dim=1) - gray.amin(dim=1)).max() < 1e-5


def test_tuple_output_is_the_dataclass_without_names() -> None:
    model = tiny_model()
    with torch.inference_mode():
        output, parts = model(**inputs()), model(**inputs(), return_dict=False)
    assert isinstance(parts, tuple) and torch.equal(parts[0], output.images) and torch.equal(parts[1], output.coarse)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_values": torch.zeros(1, 3, 64, 64)}, r"\(batch, 4, side, side\).*\(1, 3, 64, 64\)"),
        ({"pixel_values": torch.zeros(4, 64, 64)}, r"\(batch, 4, side, side\).*\(4, 64, 64\)"),
        ({"canonical_landmarks": None}, "needs canonical_landmarks"),
        ({"angles": None}, "needs canonical_landmarks"),
    ],
)
def test_wrong_inputs_of_the_mesh_generator_say_so(change: dict[str, torch.Tensor | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model()(**{**inputs(), **change})


def test_wrong_inputs_of_the_published_generator_say_so(paper_model: GanonModel) -> None:
    with pytest.raises(ValueError, match=r"\(batch, 3, side, side\) dots"):
        paper_model(torch.zeros(1, 4, 256, 256))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"conditioning": "pixels"}, "'mesh' or 'landmarks'.*'pixels'"),
        ({"conditioning": "landmarks", "image_size": 300}, "multiple of 256.*300"),
        ({"texture_size": 33}, "multiple of 4.*33"),
        ({"num_quadratic": 51}, r"num_quadratic \(51\)"),
    ],
)
def test_impossible_sizes_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GanonConfig(**values)


def features(shape: np.ndarray, angles: tuple[float, float] = (0.0, 0.0), quadratic: int = 2) -> np.ndarray:
    basis = torch.zeros(1434, 3)
    basis[0, 0], basis[1, 1], basis[2, 2] = 1.0, 2.0, 100.0
    points = torch.from_numpy(shape.astype(np.float32))[None]
    mean = torch.from_numpy(MEAN_LANDMARKS.astype(np.float32)).flatten()
    return shape_features(points, torch.tensor([angles]), mean, basis, quadratic)[0].numpy()


def opened(mouth: float = 0.0, right: float = 0.0, left: float = 0.0) -> np.ndarray:
    """The mean shape with openings given in distances between the outer eye corners."""
    shape = MEAN_LANDMARKS.copy()
    width = float(np.linalg.norm(shape[33] - shape[263]))
    for upper, lower, opening in ((13, 14, mouth), (159, 145, right), (386, 374, left)):
        shape[lower] = shape[upper] + [0.0, opening * width, 0.0]
    return shape


# columns: 0 one, 1-3 components, 4-10 openings, 11-15 pose, 16-18 products of the first two components
@pytest.mark.parametrize(
    ("shape", "angles", "columns"),
    [
        (opened(), (0, 0), {0: 1, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 1, 10: 1}),  # all shut
        (opened(mouth=0.03), (0, 0), {4: 0.5, 5: 0.1, 6: 0}),  # lips part: the first hinge is half way
        (opened(mouth=0.11), (0, 0), {4: 1, 5: 0.11 / 0.3, 6: 0.5}),  # teeth
        (opened(mouth=0.9), (0, 0), {4: 1, 5: 1.5, 6: 1}),  # a yawn is bounded
        (opened(right=0.045, left=0.09), (0, 0), {7: 0.5, 8: 1, 9: 0.1, 10: 0}),  # one lid half down
        (opened(right=0.9, left=0.025), (0, 0), {7: 1.5, 8: 0.025 / 0.09, 9: 0, 10: 0.5}),  # a stare, a blink
        (opened(), (15, -30), {11: 0.5, 12: -1, 13: 0.5, 14: 0.25, 15: 1}),  # pose in units of 30 degrees
        (opened(), (-90, 75), {11: -1.4, 12: 1.4, 13: 1.4, 14: 1.96, 15: 1.96}),  # beyond 42 degrees there were few to learn from
    ],
)
def test_shape_features(shape: np.ndarray, angles: tuple[float, float], columns: dict[int, float]) -> None:
    values = features(shape, angles)
    assert values.shape == (1 + 3 + 7 + 5 + 3,)
    for column, expected in columns.items():
        assert values[column] == pytest.approx(expected, abs=1e-3), column


def test_shape_features_components_and_products() -> None:
    shape = MEAN_LANDMARKS.copy()
    shape[0] += [0.5, -0.25, 1.0]
    values = features(shape)
    assert values[1:4] == pytest.approx([0.5, -0.5, 3.0], abs=1e-5)  # the last one is bounded at three standard deviations
    assert values[16:] == pytest.approx([0.25, -0.25, 0.25], abs=1e-5)  # first squared, first times second, second squared


def test_number_of_features_is_what_the_maps_expect() -> None:
    config = GanonConfig(num_shape_components=3, num_quadratic=2)
    assert config.num_features == len(features(MEAN_LANDMARKS))


def test_colors_follow_jfif() -> None:
    luma = torch.tensor([255.0, 0.0, 127.5]).view(3, 1, 1, 1)
    chroma = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 50.0]]).view(3, 2, 1, 1)
    rgb = (ycbcr_to_rgb(luma, chroma).view(3, 3) + 1) * 127.5
    torch.testing.assert_close(rgb[0], torch.full((3,), 255.0))
    torch.testing.assert_close(rgb[1], torch.zeros(3))
    torch.testing.assert_close(rgb[2], torch.tensor([127.5 + 70.1, 127.5 - 35.7068, 127.5]))


@pytest.mark.parametrize(("texels", "contrast"), [(1.0, 1.0), (2.8, 0.0), (5.6, 0.0)])
def test_a_pixel_that_covers_several_texels_shows_their_mean(texels: float, contrast: float) -> None:
    """Single texels would flicker as a head moves, and edges would be jagged. ``contrast``: of stripes, a texel wide."""
    size, stripes = 256, 127.5 + 127.5 * (-1.0) ** torch.arange(256)
    luma = stripes.expand(1, 1, size, size).contiguous()
    steps = (torch.arange(44) * texels + 4.5) / size
    uv_map = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))[None]
    picture = sample_texture(luma, torch.zeros(1, 2, size // 2, size // 2), uv_map)[0, 0, 8:-8, 8:-8]
    assert float(picture.abs().max()) == pytest.approx(contrast, abs=0.02) and abs(float(picture.mean())) < 0.01


def test_an_iris_which_lies_elsewhere_in_the_map_stays_sharp() -> None:
    """A jump of the UV coordinates is no density: an iris is a few pixels wide, and the map is zero beside a face."""
    size, generator = 64, torch.Generator().manual_seed(0)
    luma = 255 * torch.rand(1, 1, size, size, generator=generator)
    places = (torch.arange(48) + 8.3) / size
    uv_map = torch.stack(torch.meshgrid(places, places, indexing="xy"))[None]
    patch = uv_map.clone()
    patch[..., 20:27, 20:27] = uv_map[..., 1:8, 1:8]
    patch[..., :, 40:] = 0
    plain, jumping = (sample_texture(luma, torch.zeros(1, 2, size // 2, size // 2), one)[0, 0] for one in (uv_map, patch))
    assert torch.equal(jumping[20:27, 20:27], plain[1:8, 1:8]) and torch.equal(jumping[:20, :40], plain[:20, :40])


def test_the_refinement_is_the_network_as_it_is_described() -> None:
    """Layer by layer with pixel_unshuffle and pixel_shuffle, which the model replaces by an order of channels that is copied faster."""
    from torch.nn import functional

    from ganon_hf.core.modeling_ganon import without_checkerboard

    model = tiny_model(refinement_channels=8)
    network = model.refinement
    assert network is not None
    for number, parameter in enumerate(network.parameters()):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(number))
    condition, coarse = inputs()["pixel_values"], torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    appearance, gray = torch.ones(1, len(network.person)), torch.zeros(1, 1)

    def leaky(values: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(values, 0.2)

    def block(layers: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + layers.conv2(leaky(layers.conv1(leaky(hidden))))  # type: ignore[operator]

    with torch.inference_mode():
        mask, grid = condition[:, 2:3], (condition[:, :2] * 2 - 1).permute(0, 2, 3, 1)
        person = torch.einsum("bk,khw->bhw", appearance, network.person)[:, None] / len(network.person) ** 0.5
        person = functional.grid_sample(person, grid, padding_mode="border", align_corners=False) * mask
        canonical = functional.grid_sample(network.canonical[None], grid[:, ::2, ::2], padding_mode="border", align_corners=False)
        fine = torch.cat([coarse * mask, condition, gray.view(1, 1, 1, 1).expand_as(mask), person], dim=1)
        level0 = network.stem(torch.cat([functional.pixel_unshuffle(fine, 2), canonical * mask[:, :, ::2, ::2]], dim=1))
        level1 = block(network.encode1, network.down1(leaky(level0)))
        level2 = block(network.middle, network.down2(leaky(level1)))
        level1 = block(network.decode1, level1 + functional.interpolate(network.up2(level2), scale_factor=2.0))
        level0 = block(network.decode0, level0 + functional.interpolate(network.up1(level1), scale_factor=2.0))
        detail = functional.pixel_shuffle(leaky(network.unfold(leaky(level0))), 2)
        luma, chroma = without_checkerboard(network.out(torch.cat([detail, coarse * mask, person], dim=1))).split([1, 2], dim=1)
        expected = (ycbcr_to_rgb(luma * 127.5, chroma * 127.5) + 1) * mask
        actual = network(coarse, condition, appearance, gray)
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


# ---- people of the bank


def shares_of(*rows: tuple[float, ...]) -> torch.Tensor:
    """(1, P, 5) shares of one face."""
    return torch.tensor(rows)[None]


def test_people_change_the_face_and_their_absence_is_the_mean_person() -> None:
    model = tiny_model()
    with torch.inference_mode():
        mean = model(**inputs()).images
        first, second = (model(**inputs(), people=torch.tensor([[one]]), shares=shares_of((1.0,) * 5)).images for one in (3, 4))
    assert (first - mean).abs().mean() * 127.5 > 2 and (first - second).abs().mean() * 127.5 > 2


def test_mouths_change_open_mouths_and_come_with_their_shares() -> None:
    model, shares = tiny_model(), torch.tensor([[1.0, 0.0]])
    person = {"people": torch.tensor([[3]]), "shares": shares_of((1.0,) * 5)}
    given = {**inputs(), **person, "canonical_landmarks": opened(0.3)}
    with torch.inference_mode():
        without = model(**given).images
        first, second = (model(**given, mouths=torch.tensor([[one, 2]]), mouth_shares=shares).images for one in (0, 5))
        swapped = model(**given, mouths=torch.tensor([[2, 0]]), mouth_shares=shares.flip(1)).images
    assert (first - without).abs().max() * 127.5 > 2 and (first - second).abs().max() * 127.5 > 2
    torch.testing.assert_close(swapped, first)
    with pytest.raises(ValueError, match="mouths and mouth_shares belong together"):
        model(**given, mouths=torch.tensor([[0, 2]]))


def noisy_bank(most: int) -> PeopleTextures:
    """People without broad structure, each with detail of their own of at most so many gray values."""
    bank = tiny_model().people
    assert bank is not None
    bank.broad.zero_()
    bank.luma.copy_(torch.randint(-most, most + 1, bank.luma.shape, generator=torch.Generator().manual_seed(1)))
    return bank


def test_where_people_overlap_the_variance_is_kept() -> None:
    bank = noisy_bank(40)
    alone = bank.residual(torch.tensor([[0, 1, 2]]), shares_of((1,) * 5, (0,) * 5, (0,) * 5))[0]
    mixed = bank.residual(torch.tensor([[0, 1, 2]]), shares_of(*[(1 / 3,) * 5] * 3))[0]
    assert mixed.std() / alone.std() == pytest.approx(1, abs=0.1), "a plain mean would have 0.58 of it"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_people_can_be_blended_in_half_precision(dtype: torch.dtype, count: int) -> None:
    bank = tiny_model().people
    assert bank is not None
    people, shares = torch.arange(count)[None], torch.full((1, count, 5), 1 / count)
    exact = bank.residual(people, shares)
    for half, whole in zip(bank.to(dtype).residual(people, shares), exact, strict=True):
        assert half.dtype == dtype and (half.float() - whole).abs().max() < 2


def test_what_people_have_in_common_is_not_stronger_where_they_overlap() -> None:
    """Two of three people meet at the nose; a fold that all of them have would be 1.4 times as deep there."""
    bank = noisy_bank(20)
    plain = bank.residual(torch.tensor([[0, 1, 2]]), shares_of((0.5,) * 5, (0.5,) * 5, (0,) * 5))[0]
    bank.luma += 60
    raised = bank.residual(torch.tensor([[0, 1, 2]]), shares_of((0.5,) * 5, (0.5,) * 5, (0,) * 5))[0]
    assert torch.allclose(raised - plain, torch.tensor(60.0), atol=0.5)
    alone = bank.residual(torch.tensor([[0, 1, 2]]), shares_of((1,) * 5, (0,) * 5, (0,) * 5))[0]
    assert raised.std() / alone.std() == pytest.approx(1, abs=0.1)


def test_dark_places_keep_their_order_and_are_no_holes() -> None:
    """Nostrils far below black became flat holes with an edge. Where textures are bright nothing changes."""
    model = tiny_model()
    assert model.people is not None
    model.people.broad.zero_()
    model.people.luma[0] = torch.linspace(-120, 120, model.people.luma[0].numel()).reshape(model.people.luma[0].shape)
    size = model.people.luma.shape[-1]
    model.people.regions.zero_()
    model.people.regions[0] = 1
    level = 60.0
    luma, _ = model._with_person(
        torch.full((1, 1, size, size), level), torch.zeros(1, 2, size // 2, size // 2), torch.tensor([[0]]), shares_of((1.0,) * 5)
    )
    made, wanted = luma[0, 0].flatten(), level + model.people.luma[0].flatten().float()
    assert (made.diff() >= 0).all() and made.min() > 15
    assert (made - wanted)[wanted > 100].abs().max() < 0.1 and (made - wanted).max() < 90
    assert made[wanted < 0].std() > 0.1, "some of the difference is left"


def test_regions_come_from_those_who_have_them() -> None:
    bank = tiny_model().people
    assert bank is not None
    bank.broad.zero_()
    bank.chroma.zero_()
    bank.regions.zero_()
    bank.regions[0, :, :32], bank.regions[3, :, 32:] = 1, 1
    for number, level in enumerate((-30, 50)):
        bank.luma[number] = level
    luma = bank.residual(torch.tensor([[0, 1]]), shares_of((0.5, 1, 1, 1, 0), (0.5, 0, 0, 0, 1)))[0][0, 0]
    assert luma[:, :12].mean() == pytest.approx(-30, abs=0.5) and luma[:, 20:].mean() == pytest.approx(50, abs=0.5)


def opened(opening: float) -> torch.Tensor:
    """(1, 478, 3) canonical landmarks whose lips are so far apart, in distances of the outer corners of the eyes."""
    points = torch.from_numpy(MEAN_LANDMARKS.astype(np.float32))[None].clone()
    width = (points[:, 33] - points[:, 263]).norm()
    points[:, 14] = points[:, 13] + torch.tensor([0.0, 1.0, 0.0]) * width * opening
    return points


def test_an_open_mouth_is_the_banks_and_a_shut_one_is_not() -> None:
    model = tiny_model()
    bank, box = model.people, model.config.mouth_box
    assert bank is not None
    bank.mouth_luma[0], bank.mouth_luma[5] = 180, 60  # 90 on average
    bank.mouth_chroma[:] = 20
    luma, chroma = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 16, 16)
    for opening, share in ((0.0, 0.0), (0.02, 0.0), (0.045, 0.5), (0.2, 1.0), (0.6, 1.0)):
        seen, tint = bank.open_mouth(luma, chroma, opened(opening), torch.tensor([[0, 5]]), torch.tensor([[0.25, 0.75]]))
        inside = seen[0, 0, box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
        assert inside.mean() == pytest.approx(90 * share, abs=0.5), opening
        assert seen.sum() == pytest.approx(float(inside.sum()), abs=0.1) and tint.max() == pytest.approx(10 * share, abs=0.1)
    assert luma.abs().max() == 0, "the arguments are left alone"
