"""GanonConfig and GanonModel: a synthetic face from landmarks alone. One self-contained file, as both Hub loaders need it.

``conditioning="landmarks"`` is the generator of GANonymization (Hellmann et al., ACM TOMM 2024, arXiv 2305.02143; a pix2pix U-Net,
Isola et al., CVPR 2017), with the published layer names, so that the authors' checkpoints load strictly.

``conditioning="mesh"`` generates the face in two steps. A linear appearance prior, fitted in closed form, predicts a texture in the
mesh's canonical UV map from the shape of the face. What is particular to a synthetic person is added to it, blended from a bank of
textures of people who do not exist, and the inside of an open mouth is taken from the bank, too. The texture is sampled at the UV
coordinates of the crop's pixels. A compact U-Net may then add what such a model cannot; without it (``refinement_channels=0``), or before
it is trained, the result is that of the textures. In training, the prior's appearance coefficients stand in for the bank: every picture of
the training set has coefficients of its own.

Conventions: pictures are RGB (B, 3, S, S) in [-1, 1]; canonical landmarks are without head pose (``geometry.py``); UV is in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

NUM_POINTS, NUM_SKIN_POINTS = 478, 468
# Features of the shape beyond its principal components: see shape_features().
NUM_OPENINGS, NUM_POSE_FEATURES = 7, 5
# Parts of a look (``look.py``), and regions of a face that may come from different people: eyes with brows, nose, mouth and chin, skin.
NUM_LOOK_PARTS, NUM_REGIONS = 5, 4
# Side of the textures that hold the broad structure of the people in the bank, and of the masks of the regions.
BROAD_SIZE, REGIONS_SIZE = 32, 64
# A mouth takes on the bank's teeth and tongue between these openings, in distances of the outer corners of the eyes.
_MOUTH_OPENS = 0.03, 0.06
_MAX_STRETCH = 2.0  # the difference of a mixture of people from their mean grows at most by so much: where two of three overlap evenly
# Coarsest level of a texture's pyramid, and texels on a pixel from which on it is smoothed: below, faces would only lose detail.
_COARSEST, _DENSE = 2, 1.4
_DARKEST, _TOE = 24.0, 0.08  # luma that dark texels approach smoothly, and how fast, per gray value: nostrils are no holes with an edge
# Points by which openings are measured, as in ``face_mesh.py``: this file stands alone, because diffusers loads it alone.
RIGHT_EYE_OUTER, LEFT_EYE_OUTER, LIP_UPPER, LIP_LOWER = 33, 263, 13, 14
RIGHT_LID_UPPER, RIGHT_LID_LOWER, LEFT_LID_UPPER, LEFT_LID_LOWER = 159, 145, 386, 374


class _TaskNamesOnly(dict):
    """``config.custom_pipelines`` of an exported folder: its keys name the task, but its code is not used.

    ``transformers.pipeline()`` reads the field twice: where no task is given, it takes the only key; then ``task in custom_pipelines`` says
    whether the folder's code runs (with ``trust_remote_code``) or the registered implementation. Here it is always the latter.
    """

    def __contains__(self, task: object) -> bool:
        return False


class GanonConfig(PretrainedConfig):
    """Sizes of a :class:`GanonModel`.

    Args:
        conditioning: ``"mesh"`` or ``"landmarks"``.
        image_size: side of the square crops; for ``"landmarks"`` a multiple of 256.
        texture_size: side of the canonical luma texture; chroma has half of it.
        num_shape_components: number of principal components of the shape in the prior's features.
        num_quadratic: number of leading components whose products are features, too.
        num_appearance: number of appearance coefficients of a synthetic person.
        num_shape_axes: number of shape axes (principal directions of canonical landmarks).
        num_identity: number of shape coefficients of a synthetic person.
        num_expression: length of the expression code, all that passes from the photo's shape to the synthetic one, under noise.
        expression_width: hidden units of the networks that encode and decode it.
        num_people: number of people in the bank that synthetic people are blended from.
        people_texture_size: side of their luma textures; chroma has half of it. A multiple of 8.
        num_mouths: number of open mouths in the bank.
        mouth_box: (x, y, width, height) in texels of the people's textures around the inside of the mouth, each even.
        refinement_channels: width of the refinement network; 0 leaves it out.
        look_channels: width of the look classifier; 0 leaves it out.
        occluder_channels: width of the network for the occluder map; 0 leaves it out.
    """

    model_type = "ganon"

    def __init__(
        self,
        conditioning: str = "mesh",
        image_size: int = 256,
        texture_size: int = 192,
        num_shape_components: int = 50,
        num_quadratic: int = 8,
        num_appearance: int = 40,
        num_shape_axes: int = 120,
        num_identity: int = 40,
        num_expression: int = 16,
        expression_width: int = 256,
        num_people: int = 8,
        people_texture_size: int = 256,
        num_mouths: int = 0,
        mouth_box: tuple[int, int, int, int] = (90, 178, 76, 40),
        refinement_channels: int = 0,
        look_channels: int = 0,
        occluder_channels: int = 0,
        **kwargs: Any,
    ) -> None:
        if conditioning not in ("mesh", "landmarks"):
            raise ValueError(f"conditioning must be 'mesh' or 'landmarks', but got {conditioning!r}.")
        if conditioning == "landmarks" and image_size % 256:
            raise ValueError(f"image_size must be a multiple of 256 for conditioning='landmarks', but got {image_size}.")
        if texture_size % 4 or texture_size < 16:
            raise ValueError(f"texture_size must be a multiple of 4 and at least 16, but got {texture_size}.")
        if people_texture_size % 8 or any(side % 2 for side in mouth_box):
            raise ValueError(f"people_texture_size must be a multiple of 8, mouth_box even: got {people_texture_size}, {list(mouth_box)}.")
        if num_quadratic > num_shape_components:
            raise ValueError(f"num_quadratic ({num_quadratic}) must not exceed num_shape_components ({num_shape_components}).")
        self.conditioning, self.image_size, self.texture_size = conditioning, image_size, texture_size
        self.num_shape_components, self.num_quadratic, self.num_appearance = num_shape_components, num_quadratic, num_appearance
        self.num_shape_axes, self.num_identity, self.num_expression = num_shape_axes, num_identity, num_expression
        self.expression_width, self.num_people, self.people_texture_size = expression_width, num_people, people_texture_size
        self.num_mouths, self.mouth_box = num_mouths, list(mouth_box)
        self.refinement_channels, self.look_channels, self.occluder_channels = refinement_channels, look_channels, occluder_channels
        # An exported folder names its own code; the installed package uses its own instead.
        if not __name__.startswith("transformers_modules"):
            kwargs.pop("auto_map", None)
            kwargs["custom_pipelines"] = _TaskNamesOnly(kwargs.get("custom_pipelines") or {})
        super().__init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        if isinstance(self.__dict__.get("custom_pipelines"), _TaskNamesOnly):
            values.pop("custom_pipelines", None)
        return values

    @property
    def num_features(self) -> int:
        """Length of the prior's feature vector."""
        return 1 + self.num_shape_components + NUM_OPENINGS + NUM_POSE_FEATURES + self.num_quadratic * (self.num_quadratic + 1) // 2


@dataclass
class GanonOutput(ModelOutput):
    """Output of :class:`GanonModel`.

    Attributes:
        images: (B, 3, S, S) synthetic faces in [-1, 1].
        coarse: the prior's faces before refinement (``"mesh"`` only).
    """

    images: torch.Tensor | None = None
    coarse: torch.Tensor | None = None


def shape_features(
    landmarks: torch.Tensor, angles: torch.Tensor, mean: torch.Tensor, basis: torch.Tensor, num_quadratic: int
) -> torch.Tensor:
    """Features of the appearance prior.

    Args:
        landmarks: (B, 478, 3) canonical landmarks.
        angles: (B, 2) yaw and pitch in degrees.
        mean: (1434,) mean canonical landmarks.
        basis: (1434, n) principal directions divided by their standard deviations.
        num_quadratic: q, number of leading components whose products are features.

    Returns:
        (B, 1 + n + 7 + 5 + q (q + 1) / 2): one, components within 3 standard deviations, openings of mouth and eyes, pose, products.
    """
    components = ((landmarks.flatten(1) - mean) @ basis).clamp(-3, 3)  # (B, n)
    width = (landmarks[:, RIGHT_EYE_OUTER] - landmarks[:, LEFT_EYE_OUTER]).norm(dim=1).clamp_min(1e-6)
    pairs = ((LIP_UPPER, LIP_LOWER), (RIGHT_LID_UPPER, RIGHT_LID_LOWER), (LEFT_LID_UPPER, LEFT_LID_LOWER))
    mouth, *eyes = ((landmarks[:, upper] - landmarks[:, lower]).norm(dim=1) / width for upper, lower in pairs)
    # Hinge functions: teeth appear as the lips part and then stay, lashes as the lid closes, which is not linear in the opening.
    openings = [(mouth / 0.06).clamp(max=1), (mouth / 0.3).clamp(max=1.5), ((mouth - 0.06) / 0.1).clamp(0, 1)]
    openings += [(eye / 0.09).clamp(max=1.5) for eye in eyes] + [((0.05 - eye) / 0.05).clamp(0, 1) for eye in eyes]
    yaw, pitch = (angles / 30).clamp(-1.4, 1.4).unbind(dim=1)
    pose = [yaw, pitch, yaw.abs(), yaw**2, pitch**2]
    rows, columns = torch.triu_indices(num_quadratic, num_quadratic, device=landmarks.device)
    products = components[:, rows] * components[:, columns]
    return torch.cat([torch.ones_like(yaw)[:, None], components, torch.stack(openings + pose, dim=1), products], dim=1)


def ycbcr_to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) luma 0..255 and (B, 2, H, W) Cb, Cr about 0 -> (B, 3, H, W) RGB in [-1, 1] (JFIF / ITU-T T.871), not clipped."""
    blue, red = chroma[:, :1], chroma[:, 1:]
    green = luma.sub(blue, alpha=0.344136).sub_(red, alpha=0.714136)
    return torch.cat([luma.add(red, alpha=1.402), green, luma.add(blue, alpha=1.772)], dim=1).div_(127.5).sub_(1)


class ShapeStatistics(nn.Module):
    """Parameters of ``ganon_hf.core.geometry``, kept with the weights so that one file holds all: shape axes, the networks of the
    expression code, shape and look of the people in the bank, and how faces shade themselves.

    Coordinates (B, d) of canonical landmarks are ``(canonical_landmarks - mean) @ axes / deviations``. Fitted by
    ``training/shape_space.py`` and ``training/expression_code.py``; training a generator leaves them unchanged.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    deviations: torch.Tensor
    identity_basis: torch.Tensor
    people_shapes: torch.Tensor
    people_irises: torch.Tensor
    people_lids: torch.Tensor
    people_looks: torch.Tensor

    def __init__(self, config: GanonConfig):
        super().__init__()
        size, code, identity = config.num_shape_axes, config.num_expression, config.num_identity
        self.register_buffer("mean", torch.zeros(NUM_POINTS * 3))
        self.register_buffer("axes", torch.zeros(NUM_POINTS * 3, size))
        self.register_buffer("deviations", torch.ones(size))
        self.register_buffer("identity_basis", torch.zeros(size, identity))
        self.register_buffer("people_shapes", torch.zeros(config.num_people, identity))
        for name in ("irises", "lids"):  # factors of the irises' diameter, and of how far the eyes are open at rest
            self.register_buffer(f"people_{name}", torch.ones(config.num_people))
        self.register_buffer("people_looks", torch.zeros(config.num_people, NUM_LOOK_PARTS, dtype=torch.int64))  # see people.py
        for name, sizes in (("mean", (NUM_SKIN_POINTS,)), ("directions", (6, NUM_SKIN_POINTS)), ("maps", (6, 64, 64))):
            self.register_buffer(f"shading_{name}", torch.zeros(sizes))  # see shading.py; zero is an even surface
        self.linear_encoder, self.encoder = nn.Linear(size, code), _perceptron(size, config.expression_width, code)
        self.linear_decoder, self.decoder = nn.Linear(code, size), _perceptron(code + identity + 1, config.expression_width, size)
        self.requires_grad_(False)

    def _apply(self, fn: Any, recurse: bool = True) -> ShapeStatistics:
        """Moves to other devices, but stays in single precision whatever the generator is cast to: a rounded shape is another one."""

        def moved(value: torch.Tensor) -> torch.Tensor:
            result = fn(value)
            return result if result.dtype == value.dtype else value.to(result.device)

        return super()._apply(moved, recurse)

    def encode(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(B, d) coordinates -> (B, r) expression code, without noise."""
        return self.linear_encoder(coordinates) + self.encoder(coordinates)

    def decode(self, code: torch.Tensor, identity: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Shape of a synthetic person with an expression.

        Args:
            code: (B, r) expression code with its noise.
            identity: (B, k) shape coefficients of the person.
            noise: (B, 1) standard deviation of the code's noise, positive: the more noise, the less the code counts.

        Returns:
            (B, d) coordinates.
        """
        code = code / (1 + noise * noise).sqrt()
        moved = self.linear_decoder(code) + self.decoder(torch.cat([code, identity, noise.log()], dim=1))
        return identity @ self.identity_basis.T + moved


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


class AppearancePrior(nn.Module):
    """Linear map from shape features and appearance coefficients to a canonical texture.

    It is fitted in closed form (``training/appearance_prior.py``); the maps are parameters because fine-tuning may change them.
    """

    shape_mean: torch.Tensor
    shape_basis: torch.Tensor
    tone_mean: torch.Tensor
    tone_factor: torch.Tensor

    def __init__(self, config: GanonConfig):
        super().__init__()
        size, half = config.texture_size, config.texture_size // 2
        self.num_quadratic = config.num_quadratic
        self.register_buffer("shape_mean", torch.zeros(NUM_POINTS * 3))
        self.register_buffer("shape_basis", torch.zeros(NUM_POINTS * 3, config.num_shape_components))
        self.luma = nn.Parameter(torch.zeros(config.num_features, size, size))
        self.luma_appearance = nn.Parameter(torch.zeros(config.num_appearance, size, size))
        self.chroma = nn.Parameter(torch.zeros(config.num_features, 2, half, half))
        self.chroma_appearance = nn.Parameter(torch.zeros(config.num_appearance, 2, half, half))
        # mean and covariance factor of (luma gain, Cb, Cr) of skin in the training pictures, which no person's tone is drawn from
        self.register_buffer("tone_mean", torch.tensor([1.0, 0.0, 0.0]))
        self.register_buffer("tone_factor", torch.zeros(3, 3))

    def forward(self, landmarks: torch.Tensor, angles: torch.Tensor, appearance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 478, 3), (B, 2) degrees, (B, K) -> luma (B, 1, T, T) 0..255 and chroma (B, 2, T/2, T/2) about 0; float32 or wider."""
        features = shape_features(landmarks, angles, _widen(self.shape_mean), _widen(self.shape_basis), self.num_quadratic)
        luma = torch.einsum("bf,fhw->bhw", features, _widen(self.luma))
        luma += torch.einsum("bk,khw->bhw", appearance, _widen(self.luma_appearance))
        chroma = torch.einsum("bf,fchw->bchw", features, _widen(self.chroma))
        chroma += torch.einsum("bk,kchw->bchw", appearance, _widen(self.chroma_appearance))
        return luma[:, None], chroma


class PeopleTextures(nn.Module):
    """What is particular to the people of the bank, beyond the appearance prior: residual textures under even light, at rest.

    Broad structure and detail are kept apart. Of people who are blended, the broad structure is averaged; detail comes from one or the
    other in each region of the face, and where they overlap the variance of their differences is restored (as in histogram-preserving
    blending, Heitz and Neyret 2018), so that skin does not become flat. Made by ``training/people_bank.py``.
    """

    broad: torch.Tensor
    luma: torch.Tensor
    chroma: torch.Tensor
    regions: torch.Tensor
    mouth_luma: torch.Tensor
    mouth_chroma: torch.Tensor
    mouth_mask: torch.Tensor
    mouth_shapes: torch.Tensor

    def __init__(self, config: GanonConfig):
        super().__init__()
        count, size, mouths = config.num_people, config.people_texture_size, config.num_mouths
        self.left, self.top, width, height = config.mouth_box
        self.register_buffer("broad", torch.zeros(count, 3, BROAD_SIZE, BROAD_SIZE))  # luma, Cb, Cr
        self.register_buffer("luma", torch.zeros(count, size, size, dtype=torch.int8))
        self.register_buffer("chroma", torch.zeros(count, 2, size // 2, size // 2, dtype=torch.int8))  # in halves of a gray value
        self.register_buffer("regions", torch.full((NUM_REGIONS, REGIONS_SIZE, REGIONS_SIZE), 1 / NUM_REGIONS))
        self.register_buffer("mouth_luma", torch.zeros(mouths, height, width, dtype=torch.uint8))
        self.register_buffer("mouth_chroma", torch.zeros(mouths, 2, height // 2, width // 2, dtype=torch.int8))
        self.register_buffer("mouth_mask", torch.zeros(height, width))
        self.register_buffer("mouth_shapes", torch.zeros(mouths, 2))  # opening and width in distances of the outer corners of the eyes

    def residual(self, people: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Blend people.

        Args:
            people: (B, P) int64 numbers in the bank.
            shares: (B, P, 1 + R) of the broad structure, then of the detail in each region; over P they sum to one.

        Returns:
            (B, 1, T, T) luma and (B, 2, T / 2, T / 2) Cb and Cr, to be added to the prior's textures.
        """
        shares, size = shares.to(self.broad.dtype), self.luma.shape[-1]
        broad = torch.einsum("bp,bpchw->bchw", shares[:, :, 0], self.broad[people])
        masks = torch.einsum("bpr,rhw->bphw", shares[:, :, 1:], self.regions)
        # gain * mean + stretch * (mixture - mean) has the variance of one person; the gain is one where the stretch is not limited
        even = 1 / masks.shape[1]
        spread = (masks.square().sum(dim=1, keepdim=True) - even).clamp_min(1e-3)
        stretch = ((1 - even) / spread).sqrt().clamp(max=_MAX_STRETCH)
        gain = ((1 - stretch**2 * spread).clamp_min(0) / even).sqrt()
        maps = torch.cat([masks * stretch, gain - stretch], dim=1)
        detail = self.luma[people].to(shares.dtype), self.chroma[people].to(shares.dtype) / 2
        luma, chroma = (torch.cat([one, one.mean(dim=1, keepdim=True)], dim=1) for one in detail)
        luma = (enlarge(maps, size) * luma).sum(dim=1, keepdim=True)
        chroma = (enlarge(maps, size // 2)[:, :, None] * chroma).sum(dim=1)
        return luma + enlarge(broad[:, :1], size), chroma + enlarge(broad[:, 1:], size // 2)

    def open_mouth(
        self, luma: torch.Tensor, chroma: torch.Tensor, landmarks: torch.Tensor, mouths: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Textures in which the inside of an open mouth is that of mouths of the bank.

        Args:
            luma, chroma: textures as :meth:`residual` returns them.
            landmarks: (B, 478, 3) canonical landmarks.
            mouths: (B, M) int64 numbers in the bank of mouths.
            shares: (B, M) of each of them, with a sum of one.
        """
        width = (landmarks[:, RIGHT_EYE_OUTER] - landmarks[:, LEFT_EYE_OUTER]).norm(dim=1).clamp_min(1e-6)
        opening = (landmarks[:, LIP_UPPER] - landmarks[:, LIP_LOWER]).norm(dim=1) / width
        amount = ((opening - _MOUTH_OPENS[0]) / (_MOUTH_OPENS[1] - _MOUTH_OPENS[0])).clamp(0, 1).view(-1, 1, 1)
        inside = torch.einsum("bm,bmhw->bhw", shares, self.mouth_luma[mouths].to(luma.dtype))[:, None]
        tint = torch.einsum("bm,bmchw->bchw", shares, self.mouth_chroma[mouths].to(luma.dtype) / 2)
        result = [luma.clone(), chroma.clone()]
        for texture, new, step in zip(result, (inside, tint), (1, 2), strict=True):
            mask = self.mouth_mask[::step, ::step] * amount[:, None]
            (height, wide), top, left = mask.shape[-2:], self.top // step, self.left // step
            part = texture[..., top : top + height, left : left + wide]
            part.copy_(part + mask * (new - part))
        return result[0], result[1]


def enlarge(maps: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, h, h) -> (B, C, size, size), bicubic; unchanged where it has that size."""
    return maps if maps.shape[-1] == size else functional.interpolate(maps, size=(size, size), mode="bicubic", align_corners=False)


def _widen(values: torch.Tensor) -> torch.Tensor:
    """Float16 and bfloat16 as float32, the rest unchanged: coordinates, textures and sums over 1434 numbers need it.

    Besides, torch's ``grid_sample`` on a CPU counts the texels of a half precision texture in 16 bits: beyond 32767 it reads other memory.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _clip(picture: torch.Tensor) -> torch.Tensor:
    """Limit to [-1, 1]. What is infinite becomes NaN: at 1 or -1 it would pass for white or black, and nobody would notice."""
    return picture.clamp(-1, 1).add_(picture, alpha=0)


def sample_texture(luma: torch.Tensor, chroma: torch.Tensor, uv_map: torch.Tensor) -> torch.Tensor:
    """Textures sampled at the UV coordinates of each pixel; luma, of twice the resolution, is smoothed where pixels lie far apart.

    Args:
        luma: (B, 1, T, T) 0..255.
        chroma: (B, 2, T/2, T/2) about 0.
        uv_map: (B, 2, S, S) of (u, v) in [0, 1].

    Returns:
        (B, 3, S, S) RGB in [-1, 1], not clipped.
    """
    grid = (uv_map * 2 - 1).permute(0, 2, 3, 1)  # (B, S, S, 2); align_corners=False: u = 0 is the outer edge of the first texel
    chroma = functional.grid_sample(chroma, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # how many texels apart pixels are, squared; of two neighbors the closer one counts: irises and other layers lie elsewhere in the map
    steps = [uv_map.diff(dim=dim).square().sum(dim=1, keepdim=True) for dim in (2, 3)]
    down, right = (functional.pad(one, pad, mode="replicate") for one, pad in zip(steps, ((0, 0, 1, 1), (1, 1, 0, 0)), strict=True))
    apart = torch.minimum(down[..., 1:, :], down[..., :-1, :]) + torch.minimum(right[..., 1:], right[..., :-1])
    level = 0.5 * (apart * (0.5 * (luma.shape[-1] / _DENSE) ** 2)).clamp(1.0, 4.0**_COARSEST).log2()
    # trilinear filtering (Williams, Pyramidal parametrics, SIGGRAPH 1983): a pixel that covers several texels shows their mean
    values = functional.grid_sample(luma, grid, mode="bicubic", padding_mode="border", align_corners=False)
    total = values * (1 - level).clamp_min(0)
    for number in range(1, _COARSEST + 1):
        luma = functional.avg_pool2d(luma, 2)
        values = functional.grid_sample(luma, grid, mode="bilinear", padding_mode="border", align_corners=False)
        total = total + values * (1 - (level - number).abs()).clamp_min(0)
    return ycbcr_to_rgb(total, chroma)


def without_checkerboard(picture: torch.Tensor) -> torch.Tensor:
    """Remove from (B, C, H, W) what alternates from pixel to pixel in both directions at once; anything else stays.

    Upsampling by ``pixel_shuffle`` leaves such a pattern (Odena et al., Deconvolution and Checkerboard Artifacts, Distill 2016), faint but
    regular; hardly anything in a face is like it.
    """
    line = picture.new_tensor([-1.0, 2.0, -1.0]) / 4
    kernel = (line[:, None] * line).expand(picture.shape[1], 1, 3, 3)
    return picture - functional.conv2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), kernel, groups=len(kernel))


class RefinementBlock(nn.Module):
    """Two 3x3 convolutions with a residual connection; no normalization, so that part of a face gives the same pixels as the whole."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.conv2(functional.leaky_relu_(self.conv1(functional.leaky_relu(hidden, 0.2)), 0.2)).add_(hidden)


def _convolve(weight: torch.Tensor, bias: torch.Tensor | None, *parts: torch.Tensor) -> torch.Tensor:
    """Concatenate (B, H, W, c) and convolve in the weights' precision -> (B, C, H, W) in channels_last, which a CPU likes better."""
    return functional.conv2d(torch.cat(parts, dim=-1).to(weight.dtype).permute(0, 3, 1, 2), weight, bias, padding=1)


def _fold(weights: torch.Tensor, channels: int, dim: int = 0) -> torch.Tensor:
    """Weights of ``pixel_shuffle``'s channels (c, row, column) -> of (row, column, c), in which pixels stay together: copied faster."""
    return weights.unflatten(dim, (channels, 4)).transpose(dim, dim + 1).flatten(dim, dim + 1)


class RefinementNetwork(nn.Module):
    """Compact U-Net at half the resolution that adds to the coarse face what a linear model lacks.

    Its inputs are the coarse face, the condition (UV coordinates, mesh mask, dots), the grayscale flag, and two sets of learned textures in
    the canonical UV map (Thies et al., Deferred Neural Rendering, 2019): features of each place of a face, and one map per appearance
    coefficient that starts as white noise, so that a synthetic person has skin of their own that moves with the face.

    The last convolution starts at zero: an untrained network adds nothing.
    """

    num_canonical = 8
    # Downsampling factor of the coarsest features; regions are cut at multiples of it.
    stride = 8

    def __init__(self, config: GanonConfig):
        super().__init__()
        width, size = config.refinement_channels, config.texture_size
        self.canonical = nn.Parameter(torch.zeros(self.num_canonical, size // 2, size // 2))
        self.person = nn.Parameter(torch.zeros(config.num_appearance, size, size))
        # coarse face, u and v, mask, dots, flag and the person's map, all folded to half the resolution
        self.stem = nn.Conv2d(4 * (3 + 2 + 1 + 1 + 1 + 1) + self.num_canonical, width, 3, padding=1)
        self.down1, self.encode1 = nn.Conv2d(width, width * 2, 3, stride=2, padding=1), RefinementBlock(width * 2)
        self.down2, self.middle = nn.Conv2d(width * 2, width * 4, 3, stride=2, padding=1), RefinementBlock(width * 4)
        self.up2, self.decode1 = nn.Conv2d(width * 4, width * 2, 1), RefinementBlock(width * 2)
        self.up1, self.decode0 = nn.Conv2d(width * 2, width, 1), RefinementBlock(width)
        self.unfold = nn.Conv2d(width, 4 * 8, 3, padding=1)
        self.out = nn.Conv2d(8 + 3 + 1, 3, 3, padding=1)

    def forward(self, coarse: torch.Tensor, condition: torch.Tensor, appearance: torch.Tensor, grayscale: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) coarse RGB in [-1, 1], (B, 4, S, S) u, v, mask, dots, (B, K), (B, 1) -> (B, 3, S, S) to be added.

        Sides must be multiples of ``stride``; outside the mask nothing is added. Inputs and result are float32 or wider.
        """
        mask = condition[:, 2:3]
        grid = (condition[:, :2] * 2 - 1).permute(0, 2, 3, 1)  # (B, S, S, 2)
        person = torch.einsum("bk,khw->bhw", appearance, _widen(self.person))[:, None] / max(1, len(self.person)) ** 0.5
        person = functional.grid_sample(person, grid, mode="bilinear", padding_mode="border", align_corners=False) * mask
        canonical = _widen(self.canonical).expand(coarse.shape[0], -1, -1, -1)
        canonical = functional.grid_sample(canonical, grid[:, ::2, ::2], mode="bilinear", padding_mode="border", align_corners=False)
        canonical = (canonical * mask[:, :, ::2, ::2]).permute(0, 2, 3, 1)
        fine = torch.cat([coarse * mask, condition, grayscale.view(-1, 1, 1, 1).expand_as(mask), person], dim=1)  # (B, 9, S, S)
        fine = fine.permute(0, 2, 3, 1).contiguous()
        folded = fine.unflatten(2, (-1, 2)).flatten(3).unflatten(1, (-1, 2))  # (B, S/2, 2, S/2, 18)
        stem = torch.cat([_fold(self.stem.weight[:, :36], 9, dim=1), self.stem.weight[:, 36:]], dim=1)
        level0 = _convolve(stem, self.stem.bias, *folded.unbind(2), canonical)  # (B, w, S/2, S/2)
        level1 = self.encode1(self.down1(functional.leaky_relu(level0, 0.2)))  # (B, 2w, S/4, S/4)
        level2 = self.middle(self.down2(functional.leaky_relu(level1, 0.2)))  # (B, 4w, S/8, S/8)
        level1 = self.decode1(functional.interpolate(self.up2(level2), scale_factor=2.0, mode="nearest").add_(level1))
        level0 = self.decode0(functional.interpolate(self.up1(level1), scale_factor=2.0, mode="nearest").add_(level0))
        unfold = functional.leaky_relu_(level0, 0.2), _fold(self.unfold.weight, 8), _fold(self.unfold.bias, 8)  # type: ignore[arg-type]  # has a bias
        detail = functional.leaky_relu_(functional.conv2d(*unfold, padding=1), 0.2).permute(0, 2, 3, 1)
        detail = detail.unflatten(3, (2, -1)).transpose(2, 3).reshape(*fine.shape[:3], 8)
        change = _convolve(self.out.weight, self.out.bias, detail, fine[..., :3].to(detail.dtype), fine[..., -1:].to(detail.dtype))
        luma, chroma = without_checkerboard(_widen(change)).split([1, 2], dim=1)
        return (ycbcr_to_rgb(luma * 127.5, chroma * (127.5 * (1 - grayscale.view(-1, 1, 1, 1)))) + 1) * mask


class LookClassifier(nn.Module):
    """Reads coarse classes of how a person looks from the shape of the face and, in gray, from the upright picture of the head.

    Its answers decide only of which group a synthetic person is drawn (``ganon_hf.core.look_reading``). Trained by
    ``training/look_classifier.py``.
    """

    shape_mean: torch.Tensor
    shape_basis: torch.Tensor

    # Side of the picture in pixels, principal components of the shape, and what the outputs are: a distribution over ages, and two signs.
    image_size = 128
    num_components = 48
    num_ages = 5

    def __init__(self, config: GanonConfig):
        super().__init__()
        width = config.look_channels
        self.register_buffer("shape_mean", torch.zeros(NUM_POINTS * 3))
        self.register_buffer("shape_basis", torch.zeros(NUM_POINTS * 3, self.num_components))
        self.stem, self.down0 = nn.Conv2d(1, width, 5, stride=2, padding=2), nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.down1, self.block1 = nn.Conv2d(width, width * 2, 3, stride=2, padding=1), RefinementBlock(width * 2)
        self.down2, self.block2 = nn.Conv2d(width * 2, width * 4, 3, stride=2, padding=1), RefinementBlock(width * 4)
        self.down3, self.block3 = nn.Conv2d(width * 4, width * 5, 3, stride=2, padding=1), RefinementBlock(width * 5)
        self.shape = nn.Linear(self.num_components, width * 2)
        self.out = nn.Linear(width * 5 + width * 2 + self.num_components, self.num_ages + 2)

    def components(self, landmarks: torch.Tensor) -> torch.Tensor:
        """(B, 478, 3) canonical landmarks -> (B, 48) principal components in standard deviations, within 4."""
        return ((landmarks.flatten(1) - self.shape_mean) @ self.shape_basis).clamp(-4, 4)

    def forward(self, pictures: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Logits of the classes.

        Args:
            pictures: (B, 1, 128, 128) luma in any range.
            components: (B, 48) from :meth:`components`.

        Returns:
            (B, 7): five classes of age, a woman rather than a man, a beard.
        """
        deviation, mean = torch.std_mean(pictures, dim=(1, 2, 3), correction=0, keepdim=True)
        hidden = self.down0(functional.leaky_relu(self.stem((pictures - mean) / deviation.clamp_min(1e-3)), 0.2))
        for down, block in ((self.down1, self.block1), (self.down2, self.block2), (self.down3, self.block3)):
            hidden = block(down(functional.leaky_relu(hidden, 0.2)))
        hidden = functional.leaky_relu(hidden, 0.2).mean(dim=(2, 3))
        return self.out(torch.cat([hidden, functional.leaky_relu(self.shape(components), 0.2), components], dim=1))


class OccluderNetwork(nn.Module):
    """Says of each pixel of an aligned crop what lies in front of the face there (``occluders.py`` has the classes).

    A U-Net at half the resolution. Its map decides which pixels of a photo stay, never what is generated. Trained by
    ``training/occluder_training.py``.
    """

    # Side of the crop in pixels, channels of the picture with the hulls of the face's parts, and classes.
    image_size = 128
    num_inputs, num_classes = 3 + 4, 7

    def __init__(self, config: GanonConfig):
        super().__init__()
        width = config.occluder_channels
        self.stem, self.encode0 = nn.Conv2d(self.num_inputs, width, 5, stride=2, padding=2), RefinementBlock(width)
        self.down1, self.encode1 = nn.Conv2d(width, width * 2, 3, stride=2, padding=1), RefinementBlock(width * 2)
        self.down2, self.encode2 = nn.Conv2d(width * 2, width * 4, 3, stride=2, padding=1), RefinementBlock(width * 4)
        self.down3, self.encode3 = nn.Conv2d(width * 4, width * 6, 3, stride=2, padding=1), RefinementBlock(width * 6)
        self.middle = RefinementBlock(width * 6)
        self.up3, self.decode2 = nn.Conv2d(width * 6, width * 4, 1), RefinementBlock(width * 4)
        self.up2, self.decode1 = nn.Conv2d(width * 4, width * 2, 1), RefinementBlock(width * 2)
        self.up1, self.decode0 = nn.Conv2d(width * 2, width, 1), RefinementBlock(width)
        self.out = nn.Conv2d(width, 4 * self.num_classes, 3, padding=1)

    def forward(self, pictures: torch.Tensor, hulls: torch.Tensor) -> torch.Tensor:
        """(B, 3, 128, 128) RGB in [-1, 1] and (B, 4, 128, 128) hulls of 0 or 1 -> (B, 7, 128, 128) logits."""
        level0 = self.encode0(self.stem(torch.cat([pictures, hulls], dim=1)))
        level1 = self.encode1(self.down1(functional.leaky_relu(level0, 0.2)))
        level2 = self.encode2(self.down2(functional.leaky_relu(level1, 0.2)))
        level3 = self.middle(self.encode3(self.down3(functional.leaky_relu(level2, 0.2))))
        level2 = self.decode2(functional.interpolate(self.up3(level3), scale_factor=2.0, mode="nearest") + level2)
        level1 = self.decode1(functional.interpolate(self.up2(level2), scale_factor=2.0, mode="nearest") + level1)
        level0 = self.decode0(functional.interpolate(self.up1(level1), scale_factor=2.0, mode="nearest") + level0)
        return functional.pixel_shuffle(self.out(functional.leaky_relu(level0, 0.2)), 2)


class UNetDown(nn.Module):
    """Halving block of the published generator; ``model.0`` is the convolution, as in its checkpoints."""

    def __init__(self, channels_in: int, channels_out: int, normalize: bool = True, dropout: float = 0.0):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)]
        if normalize:
            layers.append(nn.InstanceNorm2d(channels_out))
        layers.append(nn.LeakyReLU(0.2))
        layers += [nn.Dropout(dropout)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.model(hidden)


class UNetUp(nn.Module):
    """Doubling block of the published generator: (upsampled, skip) are concatenated in this order."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float = 0.0):
        super().__init__()
        convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)
        layers: list[nn.Module] = [convolution, nn.InstanceNorm2d(channels_out), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, hidden: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.model(hidden), skip], dim=1)


class LandmarkGenerator(nn.Module):
    """The published U-Net: 54,404,099 parameters in 17 tensors, dots (B, 3, S, S) in [-1, 1] -> face (B, 3, S, S) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.down3 = UNetDown(3, 64, normalize=False), UNetDown(64, 128), UNetDown(128, 256)
        self.down4, self.down5 = UNetDown(256, 512, dropout=0.5), UNetDown(512, 512, dropout=0.5)
        self.down6, self.down7 = UNetDown(512, 512, dropout=0.5), UNetDown(512, 512, dropout=0.5)
        self.down8 = UNetDown(512, 512, normalize=False, dropout=0.5)
        self.up1, self.up2 = UNetUp(512, 512, dropout=0.5), UNetUp(1024, 512, dropout=0.5)
        self.up3, self.up4 = UNetUp(1024, 512, dropout=0.5), UNetUp(1024, 512, dropout=0.5)
        self.up5, self.up6, self.up7 = UNetUp(1024, 256), UNetUp(512, 128), UNetUp(256, 64)
        self.final = nn.Sequential(nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(128, 3, 4, padding=1), nn.Tanh())

    def forward(self, dots: torch.Tensor) -> torch.Tensor:
        skips, hidden = [], dots
        for down in (self.down1, self.down2, self.down3, self.down4, self.down5, self.down6, self.down7):
            hidden = down(hidden)
            skips.append(hidden)  # (B, 64, S/2, S/2) to (B, 512, S/128, S/128)
        hidden = self.down8(hidden)
        for up in (self.up1, self.up2, self.up3, self.up4, self.up5, self.up6, self.up7):
            hidden = up(hidden, skips.pop())
        return self.final(hidden)


class GanonModel(PreTrainedModel):
    """Landmarks in, a synthetic face out; no pixel of a photo enters.

    ``pixel_values`` is the condition drawn by ``GanonImageProcessor``: (B, 3, S, S) dots in [-1, 1] for ``"landmarks"``, and
    (B, 4, S, S) of (u, v, mask, dots), each in [0, 1], for ``"mesh"``.
    """

    config: GanonConfig
    config_class = GanonConfig
    base_model_prefix = "ganon"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    _no_split_modules = ["LandmarkGenerator", "RefinementNetwork"]
    # Half precision is too coarse for coordinates and sums over 1434 of them; the networks may have it.
    _keep_in_fp32_modules_strict = {"geometry", "prior", "people"}

    def __init__(self, config: GanonConfig):
        super().__init__(config)
        self.geometry = ShapeStatistics(config)
        self.generator: LandmarkGenerator | None = None
        self.prior: AppearancePrior | None = None
        self.people: PeopleTextures | None = None
        self.look = LookClassifier(config) if config.look_channels else None
        self.occluders = OccluderNetwork(config) if config.occluder_channels else None
        self.refinement: RefinementNetwork | None = None
        if config.conditioning == "landmarks":
            self.generator = LandmarkGenerator()
        else:
            self.prior, self.people = AppearancePrior(config), PeopleTextures(config)
            if config.refinement_channels:
                self.refinement = RefinementNetwork(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if self.refinement is None:
                init.normal_(module.weight, mean=0.0, std=0.02)  # as published
            elif module is self.refinement.out:
                init.zeros_(module.weight)
            else:
                init.kaiming_normal_(module.weight, a=0.2, nonlinearity="leaky_relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, RefinementBlock):
            init.normal_(module.conv2.weight, mean=0.0, std=0.01)  # close to the identity
        elif isinstance(module, RefinementNetwork):
            init.normal_(module.canonical, mean=0.0, std=0.1)
            init.normal_(module.person, mean=0.0, std=1.0)
        elif isinstance(module, AppearancePrior):
            for parameter in module.parameters(recurse=False):
                init.zeros_(parameter)

    def forward(
        self,
        pixel_values: torch.Tensor,
        canonical_landmarks: torch.Tensor | None = None,
        angles: torch.Tensor | None = None,
        people: torch.Tensor | None = None,
        shares: torch.Tensor | None = None,
        mouths: torch.Tensor | None = None,
        mouth_shares: torch.Tensor | None = None,
        grayscale: torch.Tensor | None = None,
        appearance: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> GanonOutput | tuple[torch.Tensor, ...]:
        """Synthesize faces.

        Args:
            pixel_values: the condition, see the class.
            canonical_landmarks: (B, 478, 3) landmarks without head pose (``"mesh"``).
            angles: (B, 2) yaw and pitch in degrees (``"mesh"``).
            people: which people of the bank to blend, see :meth:`PeopleTextures.residual`; None is the mean person.
            shares: the share of each of them, likewise.
            mouths: (B, M) int64 mouths of the bank for the inside of an open mouth; None leaves it to the prior.
            mouth_shares: (B, M) the share of each of these mouths, with a sum of one.
            grayscale: (B, 1) 1 for a grayscale face; None is color.
            appearance: (B, num_appearance) coefficients of the prior instead of people, for training; None is zero.
            return_dict: False returns a tuple.

        Raises:
            ValueError: an input is missing or has the wrong number of channels.
        """
        channels, of = (3, "dots in [-1, 1]") if self.generator is not None else (4, "of u, v, mask, dots in [0, 1]")
        if pixel_values.ndim != 4 or pixel_values.shape[1] != channels:
            raise ValueError(f"pixel_values must be (batch, {channels}, side, side) {of}, but got shape {tuple(pixel_values.shape)}.")
        if self.generator is not None:
            dtype: torch.dtype = self.generator.final[2].weight.dtype  # type: ignore[assignment]
            images, coarse = _widen(self.generator(pixel_values.to(dtype))), None
        else:
            if canonical_landmarks is None or angles is None:
                raise ValueError("conditioning='mesh' needs canonical_landmarks (batch, 478, 3) and angles (batch, 2) beside pixel_values.")
            if (mouths is None) != (mouth_shares is None):
                raise ValueError("mouths and mouth_shares belong together, but only one of them is given.")
            batch = pixel_values.shape[0]  # not len(): exporters take that for a constant
            appearance = pixel_values.new_zeros(batch, self.config.num_appearance) if appearance is None else appearance
            grayscale = pixel_values.new_zeros(batch, 1) if grayscale is None else grayscale
            precision = _widen(self.prior.luma[:0]).dtype  # type: ignore[union-attr]
            with torch.autocast(pixel_values.device.type, enabled=False):  # sums over 1434 coordinates
                luma, chroma = self.prior(*(value.to(precision) for value in (canonical_landmarks, angles, appearance)))  # type: ignore[misc]
                if people is not None and shares is not None:
                    luma, chroma = self._with_person(luma, chroma, people, shares)
                    if mouths is not None and mouth_shares is not None:
                        lips = canonical_landmarks.to(precision)
                        luma, chroma = self.people.open_mouth(luma, chroma, lips, mouths, mouth_shares.to(precision))  # type: ignore[union-attr]
            chroma = chroma * (1 - grayscale.to(precision).view(-1, 1, 1, 1))
            images = coarse = _clip(sample_texture(luma, chroma, pixel_values[:, :2].to(precision)))
            if self.refinement is not None:
                images = _clip(self._refine(coarse, *(value.to(precision) for value in (pixel_values, appearance, grayscale))))
        if return_dict is False:
            return (images,) if coarse is None else (images, coarse)
        return GanonOutput(images=images, coarse=coarse)

    def _with_person(
        self, luma: torch.Tensor, chroma: torch.Tensor, people: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The prior's textures, at the size of the bank's, plus what is particular to the people."""
        own, tint = self.people.residual(people, shares)  # type: ignore[union-attr]
        luma = functional.softplus(enlarge(luma, own.shape[-1]) + own - _DARKEST, beta=_TOE) + _DARKEST
        return luma, enlarge(chroma, tint.shape[-1]) + tint

    def _refine(self, coarse: torch.Tensor, condition: torch.Tensor, appearance: torch.Tensor, grayscale: torch.Tensor) -> torch.Tensor:
        """The coarse face with the refinement network's output added; outside training only the mesh's bounding box is computed."""
        network: RefinementNetwork = self.refinement  # type: ignore[assignment]
        ranges = (_occupied_range(condition[:, 2].sum(dim=(0, axis)), network.stride) for axis in (2, 1))
        part: tuple[Any, ...] = (...,) if self.training else (..., *ranges)
        refined = coarse.clone()
        refined[part].add_(network(coarse[part], condition[part], appearance, grayscale))
        return refined


def _occupied_range(occupied: torch.Tensor, step: int) -> slice:
    """(S,) values -> range of all positive ones in multiples of ``step``, with one step of margin; everything where there is none."""
    where = [place for place, value in enumerate(occupied.tolist()) if value > 0]
    if not where:
        return slice(0, len(occupied))
    return slice(max(0, where[0] // step - 1) * step, min((where[-1] // step + 2) * step, len(occupied)))
