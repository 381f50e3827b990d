"""A judge of age and sex that has nothing to do with this program: two small networks of other people, read in the same crops.

It says which look a face has before and after, never who somebody is. Sex is the mean answer of both networks, age that of the first, each
over several crops and their mirror images. The networks' files: see :mod:`model_files`.

On the 245 of 270 FairFace pictures (``eval-wild``) whose face is found: sex right for 84 %, age on average 3.5 years outside the labeled
class, 89 % within 10 years of it. Where the judge is sure (:data:`SURE_OF_SEX`, :data:`SURE_OF_AGE`, :data:`ADULT`): sex right for 95 % of
61 % of the faces (adults 97 %), age within 10 years for 92 % of 89 %, child or adult right for 96 % of 92 %.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...core.alignment import align_face, crop_image
from ...core.face_mesh import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from ...core.faces import Crop
from ...core.opencv import cv2
from .model_files import AGE_SEX_FILE, AGE_SEX_MANIFEST, SEX_FILE, read_model
from .template_crops import as_input, crop_to_template

# From here on the judge is sure: probability of the likelier sex; standard deviation of the age over the crops, in years.
SURE_OF_SEX, SURE_OF_AGE = 0.8, 5.0
# Below the first age somebody is surely a child, from the second one on surely an adult; in between the judge takes 13 for the border.
CHILD, BORDER, ADULT = 10.0, 13.0, 18.0

# Lower bounds in degrees of the classes of skin tone by the individual typology angle (Chardon, Cretois, Hourseau 1991).
TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0}

_MEAN_COLOR = (122.782, 117.001, 104.298)
# Side of the first network's input, and of its crops over the height of the face oval; of the second one's input, and the margin about its
# template, in sides of that. The middle one is what the network was trained with, its neighbors make the answer steadier.
_XCEPTION_SIDE, _XCEPTION_CROPS = 112, (0.9, 1.0, 1.1)
_SEX_SIDE, _SEX_MARGINS = 32, (0.15, 0.2, 0.25)
# Difference of the cheeks' channels, in pixel values, below which a photo is gray; compression alone makes one or two.
_GRAY = 3.0
# Points of the mesh in the middle of the cheeks.
_CHEEKS = (50, 280, 205, 425)
# dlib's mean face, which the second network's crops follow: outer and inner corner of the left and of the right eye, below the nose.
_FIVE_POINTS = (LEFT_EYE_CORNERS[1], LEFT_EYE_CORNERS[0], RIGHT_EYE_CORNERS[0], RIGHT_EYE_CORNERS[1], 2)
_DLIB_FACE = np.array([[0.85957, 0.2135], [0.64606, 0.22897], [0.12058, 0.21373], [0.33409, 0.22906], [0.49011, 0.6278]])


@dataclass(frozen=True)
class AgeSex:
    """What the judge reads in one face.

    Attributes:
        man: probability, 0 to 1, that a man is seen; 1 - ``man`` for a woman.
        age: in years.
        age_spread: standard deviation of the age over the crops, in years.
        tone: individual typology angle of the cheeks in degrees, see :func:`typology_angle`; NaN where it was not measured.
    """

    man: float
    age: float
    age_spread: float
    tone: float = float("nan")

    @property
    def is_man(self) -> bool:
        return self.man > 0.5

    @property
    def is_child(self) -> bool:
        return self.age < BORDER

    @property
    def sure_of_sex(self) -> bool:
        return max(self.man, 1 - self.man) >= SURE_OF_SEX

    @property
    def sure_of_age(self) -> bool:
        return self.age_spread <= SURE_OF_AGE

    @property
    def sure_of_child(self) -> bool:
        return not CHILD <= self.age < ADULT


def _weights(manifest: bytes, content: bytes) -> dict[str, torch.Tensor]:
    """Name -> weights as torch lays them out, of a file of TensorFlow.js with 8-bit quantization."""
    weights, start = {}, 0
    for entry in json.loads(manifest)[0]["weights"]:
        count, quantization = prod(entry["shape"]), entry.get("quantization")
        kind: Any = np.uint8 if quantization else np.float32
        values = np.frombuffer(content, kind, count, start).astype(np.float32)
        start += count * np.dtype(kind).itemsize
        if quantization:
            values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        tensor = torch.from_numpy(values.reshape(entry["shape"]))
        if tensor.ndim == 4:  # (height, width, in, out), of depthwise ones (height, width, channels, 1)
            tensor = tensor.permute(2, 3, 0, 1) if entry["name"].endswith("depthwise_filter") else tensor.permute(3, 2, 0, 1)
        weights[entry["name"]] = tensor.contiguous()
    return weights


class _TinyXception:
    """The network of face-api: Xception (Chollet 2017) with three reductions and two middle blocks; "same" padding as TensorFlow's."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self._weights = weights

    @staticmethod
    def _pad(values: torch.Tensor, kernel: int, stride: int, fill: float = 0.0) -> torch.Tensor:
        excess = max((-(-values.shape[-1] // stride) - 1) * stride + kernel - values.shape[-1], 0)
        before, after = excess // 2, excess - excess // 2  # TensorFlow puts the odd pixel at the end
        return functional.pad(values, (before, after, before, after), value=fill)

    def _convolve(self, values: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = self._weights[f"{name}/filters"]
        return functional.conv2d(self._pad(values, kernel.shape[-1], stride), kernel, self._weights[f"{name}/bias"], stride)

    def _separable(self, values: torch.Tensor, name: str) -> torch.Tensor:
        depthwise = self._weights[f"{name}/depthwise_filter"]
        values = functional.conv2d(self._pad(values, 3, 1), depthwise, groups=len(depthwise))
        return functional.conv2d(values, self._weights[f"{name}/pointwise_filter"], self._weights[f"{name}/bias"])

    def _reduce(self, values: torch.Tensor, name: str, *, activated: bool) -> torch.Tensor:
        hidden = self._separable(values if activated else functional.relu(values), f"{name}/separable_conv0")
        hidden = self._separable(functional.relu(hidden), f"{name}/separable_conv1")
        pooled = functional.max_pool2d(self._pad(hidden, 3, 2, fill=-torch.inf), 3, 2)
        return pooled + self._convolve(values, f"{name}/expansion_conv", 2)

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, 112, 112) -> (B,) probability of a man, (B,) years."""
        hidden = functional.relu(self._convolve(pictures, "entry_flow/conv_in", 2))
        hidden = self._reduce(hidden, "entry_flow/reduction_block_0", activated=True)
        hidden = self._reduce(hidden, "entry_flow/reduction_block_1", activated=False)
        for block in ("middle_flow/main_block_0", "middle_flow/main_block_1"):
            inner = hidden
            for number in range(3):
                inner = self._separable(functional.relu(inner), f"{block}/separable_conv{number}")
            hidden = hidden + inner
        hidden = self._reduce(hidden, "exit_flow/reduction_block", activated=False)
        features = functional.relu(self._separable(hidden, "exit_flow/separable_conv")).mean(dim=(2, 3))
        sex, age = (features @ self._weights[f"fc/{name}/weights"] + self._weights[f"fc/{name}/bias"] for name in ("gender", "age"))
        return sex.softmax(1)[:, 0], age[:, 0]


class AgeSexJudge:
    """Reads age and sex of the face at known landmarks. Not to be shared by threads.

    Args:
        folder: with the networks' files.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is another one than was measured.
    """

    def __init__(self, folder: Path) -> None:
        self._xception = _TinyXception(_weights(read_model(folder, AGE_SEX_MANIFEST), read_model(folder, AGE_SEX_FILE)))
        self._sex = cv2.dnn.readNetFromONNX(np.frombuffer(read_model(folder, SEX_FILE), np.uint8))

    @torch.inference_mode()
    def __call__(self, photo: np.ndarray, landmarks: np.ndarray) -> AgeSex:
        """One face.

        Args:
            photo: RGB uint8 (height, width, 3), the original or what was made of it.
            landmarks: (478, 3) photo pixels. Those of the original place both, so that nothing but the face differs.

        Raises:
            ValueError: landmarks without a head pose.
        """
        man, ages = self._xception(torch.from_numpy(as_input(_upright_crops(photo, landmarks), _MEAN_COLOR, 255.0)))
        self._sex.setInput(as_input(_dlib_crops(photo, landmarks), _MEAN_COLOR, 256.0))
        second = self._sex.forward()[:, 1]
        tone = typology_angle(photo, landmarks)
        return AgeSex(float(man.mean() + second.mean()) / 2, float(ages.mean()), float(ages.std(correction=0)), tone)


def _with_mirrored(crops: list[np.ndarray]) -> np.ndarray:
    return np.stack([*crops, *(crop[:, ::-1] for crop in crops)])


def _upright_crops(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(6, 112, 112, 3) uint8: the face oval fills the square times each of the factors."""
    tight, middle = align_face(landmarks, _XCEPTION_SIDE, tight=True), np.full(2, _XCEPTION_SIDE / 2)
    crops = []
    for factor in _XCEPTION_CROPS:
        matrix = tight.matrix / factor
        matrix[:, 2] += middle * (1 - 1 / factor)
        crops.append(crop_image(photo, Crop(matrix, _XCEPTION_SIDE)))
    return _with_mirrored(crops)


def _dlib_crops(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(6, 32, 32, 3) uint8: the face chips of dlib with each of the margins."""
    templates = (((_DLIB_FACE + margin) / (1 + 2 * margin)) * _SEX_SIDE for margin in _SEX_MARGINS)
    points = landmarks[list(_FIVE_POINTS), :2]
    return _with_mirrored([crop_to_template(photo, points, template, _SEX_SIDE) for template in templates])


def tone_class(angle: float) -> str:
    """Class of skin tone of an individual typology angle in degrees: one of :data:`TONES`, or "dark"."""
    return next((name for name, least in TONES.items() if angle > least), "dark")


def typology_angle(photo: np.ndarray, landmarks: np.ndarray) -> float:
    """Skin tone of a face: the individual typology angle in degrees, arctan((L* - 50) / b*) of the median color of its cheeks; NaN of a
    gray photo, which shows none.

    From above 55 (very light) to below -30 (dark; Chardon et al. 1991). As seen: a photo's light and white balance are in it.

    Args:
        photo: RGB uint8 (height, width, 3).
        landmarks: (478, 3) photo pixels.
    """
    crop = align_face(landmarks, 64)
    patch = crop_image(photo, crop)
    cheeks = np.round(crop.to_crop(landmarks[list(_CHEEKS)])[:, :2]).astype(int)
    colors = np.concatenate([patch[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].reshape(-1, 3) for x, y in cheeks.clip(0, 63)])
    color = np.median(colors, axis=0)
    if np.ptp(color) < _GRAY:
        return float("nan")
    lightness, _, yellowness = cv2.cvtColor(color.astype(np.float32)[None, None] / 255, cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50, max(float(yellowness), 1e-3))))
