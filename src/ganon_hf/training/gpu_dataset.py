"""Training faces in the memory of the training device: the whole data set as uint8, and batches that are assembled there.

A data loader that decodes pictures again in every epoch would slow down a GPU and waste a CPU. Here every picture is decoded once, and a
batch is an indexing operation.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from .._atomic import atomic_file
from ..core.face_mesh import MIRROR
from ..core.landmarks import triangle_map
from ..core.modeling_ganon import AppearancePrior, ycbcr_to_rgb
from ..core.opencv import cv2
from .condition_rendering import draw_dot_maps, render_uv_maps
from .lighting import light_gain
from .shards import FaceShards
from .texture_encoding import AppearanceCodes, encode_textures
from .textures import unwrap_samples

# Side in texels of the textures that are encoded; larger ones give no better codes.
_ENCODED_SIZE = 64
# Below this many photo pixels per crop pixel a picture is too soft to show skin texture. Its color and shading still count.
MIN_SHARP_RESOLUTION = 0.8


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """A batch of training faces.

    Attributes:
        inputs: keyword arguments of ``GanonModel.forward`` for patches of (P, P) pixels.
        target: (B, 3, P, P) RGB in about [-1, 1].
        mask: (B, 1, P, P) float, 1 where the target is known, else 0.
        weights: (B,) weight of each picture.
        adversarial_weights: (B,) its weight in the adversarial terms, 0 for soft pictures.
        color_weights: (B,) 1 for pictures with color, 0 for grayscale ones.
    """

    inputs: dict[str, torch.Tensor]
    target: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor
    adversarial_weights: torch.Tensor
    color_weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.weights)


def encode_shards(shards: FaceShards, prior: AppearancePrior, cache: Path | None) -> tuple[AppearanceCodes, dict[str, np.ndarray]]:
    """Encode all faces of some shards under a prior.

    Args:
        shards: prepared faces.
        prior: whose coefficients are fitted.
        cache: .npz file that is read if it exists, else written; None computes the codes anew.

    Returns:
        the codes, and ``shapes`` (n, 478, 3), ``angles`` (n, 2) and ``weights`` (n,) as in :class:`.textures.TextureSet`.
    """
    names = ("appearance", "light", "tone", "shapes", "angles", "weights")
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names}
    else:
        samples = map(shards.sample, tqdm(range(len(shards)), desc="light and appearance", unit="face", leave=False))
        textures = unwrap_samples(samples, _ENCODED_SIZE)
        codes = encode_textures(textures, prior)
        found = {**codes.__dict__, "shapes": textures.shapes, "angles": textures.angles, "weights": textures.weights}
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(cache) as temporary, temporary.open("wb") as file:
                np.savez(file, **found)
    return AppearanceCodes(*(found[name] for name in names[:3])), {name: found[name] for name in names[3:]}


class MeshDataset:
    """Faces for the mesh generator.

    Args:
        shards: prepared faces.
        prior: the pictures are encoded with its appearance coefficients.
        device: holds all data: about 200 kB per face at 256 px, 330 kB with color.
        cache: file for the codes, which are slow to compute; see :func:`encode_shards`.
        num_appearance: number of appearance coefficients to use, the others are set to zero (for ablations); None uses all.
    """

    def __init__(
        self,
        shards: FaceShards,
        prior: AppearancePrior,
        device: torch.device,
        *,
        cache: Path | None = None,
        num_appearance: int | None = None,
    ) -> None:
        codes, measured = encode_shards(shards, prior, cache)
        size, count = shards.image_size, len(shards)
        luma = torch.empty(count, size, size, dtype=torch.uint8)
        chroma = torch.zeros(int((~shards.grayscale).sum()) + 1, 2, size // 2, size // 2, dtype=torch.uint8)
        chroma[0] = 128  # shared by all grayscale pictures
        triangles = torch.empty(count, size, size, dtype=torch.int16)
        chroma_index = np.where(shards.grayscale, 0, np.cumsum(~shards.grayscale))

        def fill(number: int) -> None:
            ycrcb = cv2.cvtColor(shards.image(number), cv2.COLOR_RGB2YCrCb)
            luma[number] = torch.from_numpy(ycrcb[..., 0])
            if chroma_index[number]:
                half = cv2.resize(ycrcb[..., [2, 1]], (size // 2, size // 2), interpolation=cv2.INTER_AREA)
                chroma[chroma_index[number]] = torch.from_numpy(half.transpose(2, 0, 1).copy())
            triangles[number] = torch.from_numpy(triangle_map(shards.landmarks[number], size).astype(np.int16))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(tqdm(pool.map(fill, range(count)), total=count, desc="faces", unit="face", leave=False))
        appearance = codes.appearance.copy()
        if num_appearance is not None:
            appearance[:, num_appearance:] = 0
        self.size, self.device = size, device
        self.neutral_tone = prior.tone_mean[1:].detach().to(device)
        arrays = {
            "points": shards.landmarks,
            "canonical_landmarks": measured["shapes"],
            "angles": measured["angles"],
            "appearance": appearance,
            "light": codes.light,
            "tone": codes.tone,
            "weights": measured["weights"],
            "resolution": shards.resolution,
            "grayscale": shards.grayscale,
            "chroma_index": chroma_index,
        }
        self.table = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
        self.luma, self.chroma, self.triangles = luma.to(device), chroma.to(device), triangles.to(device)
        seen = self.triangles >= 0
        occupied = torch.stack([seen.any(dim=1), seen.any(dim=2)], dim=1).to(torch.uint8)  # (n, 2, S): columns, rows
        self.box = torch.cat(
            [occupied.argmax(dim=2), size - occupied.flip(2).argmax(dim=2)], dim=1
        )  # x_min, y_min, x_max, y_max of the mesh

    def __len__(self) -> int:
        return len(self.luma)

    def batch(self, rows: np.ndarray, patch_size: int, draws: np.ndarray) -> FaceBatch:
        """Assemble a batch. The targets are the pictures under even light with the neutral skin tone.

        Args:
            rows: (B,) indices of faces.
            patch_size: side P of the patches in pixels, at most the side of the crops.
            draws: (B, 3) uniform random numbers in [0, 1): horizontal and vertical place of the patch in the box of the mesh; below 0.5 the
                third one mirrors the patch.
        """
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.device)
        pick = {name: values[index] for name, values in self.table.items()}
        box, uniform = self.box[index], torch.as_tensor(draws, device=self.device)
        # a patch smaller than the mesh lies anywhere on it, a larger one is centered on it
        low, room = box[:, :2], box[:, 2:] - box[:, :2] - patch_size
        corner = torch.where(room > 0, (low + uniform[:, :2] * (room + 1)).floor(), (low + room / 2).round())
        corner = corner.long().clamp(0, self.size - patch_size)
        offsets = torch.arange(patch_size, device=self.device)
        ys, xs = (corner[:, 1:] + offsets)[:, :, None], (corner[:, :1] + offsets)[:, None, :]
        item = index[:, None, None]
        triangles, luma = self.triangles[item, ys, xs], self.luma[item, ys, xs][:, None].float()
        uv_map, mask = render_uv_maps(pick["points"], triangles, corner.float())
        dots = draw_dot_maps(pick["points"] - functional.pad(corner, (0, 1))[:, None], patch_size)[:, None]
        gain = light_gain(pick["light"], uv_map)
        # dark shading shows noise when it is brightened
        known = mask & (gain > 0.3) & (luma > 2) & (luma < 253)
        chroma = self.chroma[pick["chroma_index"][:, None, None], :, ys // 2, xs // 2].permute(0, 3, 1, 2).float() - 128
        color_weights = (~pick["grayscale"]).float()
        shift = (self.neutral_tone - pick["tone"]) * color_weights[:, None]
        target = ycbcr_to_rgb((luma / gain).clamp(0, 300), chroma + shift[:, :, None, None])
        condition = torch.cat([uv_map, mask.float(), dots.float()], dim=1)
        canonical_landmarks, angles = pick["canonical_landmarks"], pick["angles"]
        flip = uniform[:, 2] < 0.5
        mirrored = torch.cat([condition[:, 2:3] - condition[:, :1], condition[:, 1:]], dim=1)  # u -> 1 - u inside the mask

        def flipped(straight: torch.Tensor, mirror_image: torch.Tensor) -> torch.Tensor:
            return torch.where(flip.view(-1, *[1] * (straight.ndim - 1)), mirror_image, straight)

        mirror = torch.as_tensor(MIRROR, device=self.device)
        inputs = {
            "pixel_values": flipped(condition, mirrored.flip(-1)),
            "canonical_landmarks": flipped(
                canonical_landmarks, canonical_landmarks[:, mirror] * canonical_landmarks.new_tensor([-1, 1, 1])
            ),
            "angles": flipped(angles, angles * angles.new_tensor([-1, 1])),
            "appearance": pick["appearance"],
            "grayscale": pick["grayscale"].float()[:, None],
        }
        target, known = flipped(target, target.flip(-1)), flipped(known, known.flip(-1))
        adversarial_weights = pick["weights"] * (pick["resolution"] >= MIN_SHARP_RESOLUTION)
        return FaceBatch(inputs, target, known.float(), pick["weights"], adversarial_weights, color_weights)


class DotDataset:
    """Faces for the landmark generator of the paper: its input is dots, its target the person on black.

    Args:
        shards: prepared faces; the paper's crops are tight (``scripts/prepare_dataset.py --tight``).
        device: holds all data: 3 bytes per pixel.
    """

    def __init__(self, shards: FaceShards, device: torch.device) -> None:
        size = shards.image_size
        pictures = torch.empty(len(shards), 3, size, size, dtype=torch.uint8)

        def fill(number: int) -> None:
            person = shards.image(number) * (shards.matte(number) > 127)[..., None]
            pictures[number] = torch.from_numpy(person.transpose(2, 0, 1).copy())

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(tqdm(pool.map(fill, range(len(shards))), total=len(shards), desc="faces", unit="face", leave=False))
        self.size, self.device = size, device
        self.pictures = pictures.to(device)
        self.points = torch.from_numpy(shards.landmarks).to(device)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, rows: np.ndarray, patch_size: int, draws: np.ndarray) -> FaceBatch:
        """Whole faces, never mirrored, as published: ``patch_size`` must be the side of the crops, ``draws`` are ignored."""
        if patch_size != self.size:
            raise ValueError(
                f"the landmark generator is trained on whole faces: patch_size must be {self.size} pixels, but got {patch_size!r}."
            )
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.device)
        dots = draw_dot_maps(self.points[index], self.size)[:, None].float() * 2 - 1
        target = self.pictures[index].float() / 127.5 - 1
        ones = target.new_ones(len(index))
        return FaceBatch({"pixel_values": dots.expand(-1, 3, -1, -1)}, target, torch.ones_like(target[:, :1]), ones, ones, ones)
