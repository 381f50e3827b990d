"""Training faces on the training device: the whole set as uint8, batches cut, lit and drawn there.

A loader that decodes pictures is the limit of a GPU and a waste on a CPU: everything is decoded once, and a batch is a gather.
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
from .conditions import draw_dots, render_uv_maps
from .lighting import light_gain
from .shards import FaceShards
from .texture_encoding import PictureCodes, encode_textures
from .textures import unwrap_samples

# Textures of this size tell light and appearance as well as larger ones.
_CODE_SIZE = 64
# Below so many photo pixels per crop pixel a picture is too soft to show what skin looks like; its colors and shading still count.
SHARP = 0.8


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """A batch of training faces.

    Attributes:
        inputs: of ``GanonModel.forward``, for patches of (P, P) pixels.
        target: (B, 3, P, P) RGB in about [-1, 1].
        mask: (B, 1, P, P) float 0 or 1, where the target is known.
        weights: (B,) how much a picture counts; sharp: (B,) the same for the adversarial terms; color: (B,) 1 where it has color.
    """

    inputs: dict[str, torch.Tensor]
    target: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor
    sharp: torch.Tensor
    color: torch.Tensor

    def __len__(self) -> int:
        return len(self.weights)


def picture_codes(shards: FaceShards, prior: AppearancePrior, cache: Path | None) -> tuple[PictureCodes, dict[str, np.ndarray]]:
    """Codes under the prior, and shapes, angles and weights, of all faces; kept in ``cache`` (.npz) where one is given."""
    names = ("appearance", "light", "tone", "shapes", "angles", "weights")
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names}
    else:
        samples = map(shards.sample, tqdm(range(len(shards)), desc="light and appearance", unit="face", leave=False))
        textures = unwrap_samples(samples, _CODE_SIZE)
        codes = encode_textures(textures, prior)
        found = {**codes.__dict__, "shapes": textures.shapes, "angles": textures.angles, "weights": textures.weights}
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(cache) as temporary, temporary.open("wb") as file:
                np.savez(file, **found)
    return PictureCodes(*(found[name] for name in names[:3])), {name: found[name] for name in names[3:]}


class MeshBank:
    """Faces for the mesh generator.

    Args:
        shards: prepared faces.
        prior: whose appearance coefficients the pictures are given.
        device: where everything lies; about 200 kB a face at 256 px, 330 kB with color.
        cache: file for what is slow to compute, None computes it again.
        num_appearance: coefficients beyond so many are set to zero (an ablation); None keeps all.
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
        codes, measured = picture_codes(shards, prior, cache)
        size, count = shards.image_size, len(shards)
        luma = torch.empty(count, size, size, dtype=torch.uint8)
        chroma = torch.zeros(int((~shards.grayscale).sum()) + 1, 2, size // 2, size // 2, dtype=torch.uint8)
        chroma[0] = 128  # for all that have none
        triangles = torch.empty(count, size, size, dtype=torch.int16)
        place = np.where(shards.grayscale, 0, np.cumsum(~shards.grayscale))

        def fill(number: int) -> None:
            ycrcb = cv2.cvtColor(shards.image(number), cv2.COLOR_RGB2YCrCb)
            luma[number] = torch.from_numpy(ycrcb[..., 0])
            if place[number]:
                half = cv2.resize(ycrcb[..., [2, 1]], (size // 2, size // 2), interpolation=cv2.INTER_AREA)
                chroma[place[number]] = torch.from_numpy(half.transpose(2, 0, 1).copy())
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
            "gray": shards.grayscale,
            "place": place,
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

    def batch(self, rows: np.ndarray, patch: int, draws: np.ndarray) -> FaceBatch:
        """Cut and draw a batch; the targets are the pictures in even light at neutral tone.

        Args:
            rows: (B,) numbers of faces.
            patch: side P of the patches, at most the crops' side.
            draws: (B, 3) in [0, 1): where in the mesh's box the patch lies, across and down, and whether it is mirrored (below 0.5).
        """
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.device)
        pick = {name: values[index] for name, values in self.table.items()}
        box, place = self.box[index], torch.as_tensor(draws, device=self.device)
        # a mesh larger than the patch is covered from edge to edge, a smaller one lies in the patch's middle
        low, room = box[:, :2], box[:, 2:] - box[:, :2] - patch
        corner = (
            torch.where(room > 0, (low + place[:, :2] * (room + 1)).floor(), (low + room / 2).round()).long().clamp(0, self.size - patch)
        )
        across = torch.arange(patch, device=self.device)
        ys, xs = (corner[:, 1:] + across)[:, :, None], (corner[:, :1] + across)[:, None, :]
        item = index[:, None, None]
        triangles, luma = self.triangles[item, ys, xs], self.luma[item, ys, xs][:, None].float()
        uv_map, mask = render_uv_maps(pick["points"], triangles, corner.float())
        dots = draw_dots(pick["points"] - functional.pad(corner, (0, 1))[:, None], patch)[:, None]
        gain = light_gain(pick["light"], uv_map)
        # what is dark because the lamp is elsewhere shows noise when it is lit up
        known = mask & (gain > 0.3) & (luma > 2) & (luma < 253)
        chroma = self.chroma[pick["place"][:, None, None], :, ys // 2, xs // 2].permute(0, 3, 1, 2).float() - 128
        color = (~pick["gray"]).float()
        shift = (self.neutral_tone - pick["tone"]) * color[:, None]
        target = ycbcr_to_rgb((luma / gain).clamp(0, 300), chroma + shift[:, :, None, None])
        condition = torch.cat([uv_map, mask.float(), dots.float()], dim=1)
        canonical_landmarks, angles = pick["canonical_landmarks"], pick["angles"]
        flip = place[:, 2] < 0.5
        mirrored = torch.cat([condition[:, 2:3] - condition[:, :1], condition[:, 1:]], dim=1)  # u -> 1 - u inside the mask

        def turn(straight: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return torch.where(flip.view(-1, *[1] * (straight.ndim - 1)), other, straight)

        mirror = torch.as_tensor(MIRROR, device=self.device)
        inputs = {
            "pixel_values": turn(condition, mirrored.flip(-1)),
            "canonical_landmarks": turn(canonical_landmarks, canonical_landmarks[:, mirror] * canonical_landmarks.new_tensor([-1, 1, 1])),
            "angles": turn(angles, angles * angles.new_tensor([-1, 1])),
            "appearance": pick["appearance"],
            "grayscale": pick["gray"].float()[:, None],
        }
        target, known = turn(target, target.flip(-1)), turn(known, known.flip(-1))
        sharp = pick["weights"] * (pick["resolution"] >= SHARP)
        return FaceBatch(inputs, target, known.float(), pick["weights"], sharp, color)


class DotsBank:
    """Faces for the landmark generator of the paper: dots in, the person on black out.

    Args:
        shards: prepared faces; the paper's crops are tight (``scripts/prepare_dataset.py --tight``).
        device: where everything lies; 3 bytes a pixel.
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

    def batch(self, rows: np.ndarray, patch: int, draws: np.ndarray) -> FaceBatch:
        """Whole faces, as published not mirrored: ``patch`` must be the crops' side, ``draws`` are not looked at."""
        if patch != self.size:
            raise ValueError(f"the landmark generator sees whole faces of {self.size} px, but got patches of {patch} px.")
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.device)
        dots = draw_dots(self.points[index], self.size)[:, None].float() * 2 - 1
        target = self.pictures[index].float() / 127.5 - 1
        one = target.new_ones(len(index))
        return FaceBatch({"pixel_values": dots.expand(-1, 3, -1, -1)}, target, torch.ones_like(target[:, :1]), one, one, one)
