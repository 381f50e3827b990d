"""Which emotion a face shows: a small classifier on pixels that uses no landmarks.

Blendshapes come from the same family of models as the landmarks that condition the generator, so they overrate a face that merely follows
its landmarks. This classifier is trained on crowd labels; those of ``train-expressions`` are noisy, and nearly all neutral or smiling. It
is weak, so its accuracy on untouched pictures of new people is reported first. Crops before and after are cut at the landmarks of the
*original*, so that nothing but the face differs.

Conventions: crops are gray uint8 (S, S); probabilities are (n, 5) in the order of :data:`EMOTIONS`, NaN where there is no face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from ..._atomic import atomic_file
from ...core.alignment import align_face, crop_image
from ..data.samples import NEUTRAL, SMILING, to_grayscale
from .estimates import Estimate, bootstrap, bootstrap_mean
from .expression import smile_auc

# Fear and contempt have two dozen pictures among thirteen thousand, and disgust none to be tried on.
EMOTIONS = (NEUTRAL, SMILING, "surprise", "sadness", "anger")
CROP_SIZE = 64
# Pictures of one emotion that are learned from; the rare ones have fewer than 300.
MAX_PER_EMOTION = 1200


@dataclass(frozen=True)
class EmotionOptions:
    """How the classifier learns.

    Attributes:
        steps: of the optimizer.
        batch: pictures of a step, every emotion as often.
        learning_rate: at the top of one cycle.
        seed: of weights, order and augmentation.
    """

    steps: int = 500
    batch: int = 60
    learning_rate: float = 4e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, but got {getattr(self, name)!r}.")


class _Network(nn.Module):
    """Convolutions at a half to a sixteenth of the crop's size, mean over the places, five numbers."""

    def __init__(self, num_emotions: int = len(EMOTIONS)):
        super().__init__()
        widths = (1, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            if number:
                layers += [nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1], num_emotions)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """(B, 1, S, S) standardized -> (B, 5) logits."""
        return self.out(self.features(crops).mean(dim=(2, 3)))


def _standardized(crops: np.ndarray) -> torch.Tensor:
    """(n, S, S) uint8 -> (n, 1, S, S) with mean 0 and deviation 1 each: neither exposure nor contrast is an emotion."""
    pictures = torch.from_numpy(np.ascontiguousarray(crops))[:, None].float()
    deviation = pictures.std(dim=(1, 2, 3), keepdim=True)
    return (pictures - pictures.mean(dim=(1, 2, 3), keepdim=True)) / deviation.clamp_min(1.0)


def _jittered(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirrored, turned by up to 10 degrees, scaled by up to 10 % and moved by up to 6 %, each picture on its own."""
    count = len(pictures)
    angle, scale, right, down, mirror = torch.rand(5, count, generator=generator) * 2 - 1
    turn, size = angle * np.radians(10.0), 1 + 0.1 * scale
    cosine, sine, side = size * torch.cos(turn), size * torch.sin(turn), torch.where(mirror > 0, 1.0, -1.0)
    rows = [torch.stack([cosine * side, -sine, 0.12 * right], 1), torch.stack([sine * side, cosine, 0.12 * down], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


class EmotionClassifier:
    """Reads the emotion of the face at a known place."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls, path: Path) -> EmotionClassifier:
        """Read what :meth:`save` wrote.

        Raises:
            OSError: the file cannot be read.
            RuntimeError: it holds something else.
            safetensors.SafetensorError: it is damaged.
        """
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator before the file replaces the weights
            network = _Network()
        network.load_state_dict(load_file(path))
        return cls(network)

    def save(self, path: Path) -> None:
        """Write the weights in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            save_file({key: value.contiguous() for key, value in self._network.state_dict().items()}, temporary)

    @torch.inference_mode()
    def classify(self, crops: np.ndarray) -> np.ndarray:
        """(n, S, S) uint8 -> (n, 5) probabilities, the mean over each crop and its mirror image."""
        found = []
        for start in range(0, len(crops), 64):
            pictures = _standardized(crops[start : start + 64])
            found.append((self._network(pictures).softmax(1) + self._network(pictures.flip(3)).softmax(1)) / 2)
        return torch.cat(found).double().numpy() if found else np.zeros((0, len(EMOTIONS)))

    def __call__(self, photo: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
        """One face.

        Args:
            photo: RGB uint8 (height, width, 3), the original or what was made of it.
            landmarks: (478, 3) photo pixels of the original's face; None gives NaN.

        Returns:
            (5,) probabilities.
        """
        crop = emotion_crop(photo, landmarks)
        return np.full(len(EMOTIONS), np.nan) if crop is None else self.classify(crop[None])[0]


def emotion_crop(photo: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray | None:
    """(64, 64) uint8 gray square at the landmarks, None where there are none or they have no head pose."""
    if landmarks is None or not np.isfinite(landmarks).all():
        return None
    try:
        return crop_image(to_grayscale(photo), align_face(landmarks, CROP_SIZE))
    except ValueError:
        return None


def train_classifier(crops: np.ndarray, labels: np.ndarray, options: EmotionOptions | None = None) -> EmotionClassifier:
    """Train on labeled crops; every emotion is drawn equally often.

    Args:
        crops: (n, S, S) uint8, S a multiple of 16.
        labels: (n,) numbers in :data:`EMOTIONS`.
        options: None takes the defaults.

    Raises:
        ValueError: an emotion has no picture, or the shapes do not fit.
    """
    options = options or EmotionOptions()
    if crops.ndim != 3 or len(crops) != len(labels) or crops.dtype != np.uint8:
        raise ValueError(f"crops must be uint8 (n, S, S) with n labels, but got {crops.dtype} {crops.shape} and {len(labels)} labels.")
    members = [np.flatnonzero(labels == number) for number in range(len(EMOTIONS))]
    missing = [name for name, rows in zip(EMOTIONS, members, strict=True) if not len(rows)]
    if missing:
        raise ValueError(f"there is no picture of {', '.join(missing)} to learn from.")
    order, generator = np.random.default_rng(options.seed), torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):  # the global generator is left as it was
        torch.manual_seed(options.seed)
        network = _Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=options.learning_rate, total_steps=options.steps)
    network.train()
    for _ in range(options.steps):
        emotions = order.integers(len(EMOTIONS), size=options.batch)
        rows = np.array([order.choice(members[emotion]) for emotion in emotions])
        pictures = _jittered(_standardized(crops[rows]), generator)
        optimizer.zero_grad()
        # crowd labels are noisy, hence label smoothing
        functional.cross_entropy(network(pictures), torch.from_numpy(emotions), label_smoothing=0.1).backward()
        optimizer.step()
        schedule.step()
    return EmotionClassifier(network)


def choose_labeled_rows(emotions: Sequence[str | None], limit: int = MAX_PER_EMOTION, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers in ascending order, at most ``limit`` of each emotion, and the number of the emotion of each."""
    generator, names = np.random.default_rng(seed), np.array([emotion or "" for emotion in emotions])
    rows = np.sort(np.concatenate([generator.permutation(np.flatnonzero(names == name))[:limit] for name in EMOTIONS]))
    return rows, np.array([EMOTIONS.index(names[row]) for row in rows], int)


def _balanced(right: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def accuracy_measures(probabilities: np.ndarray, labels: Sequence[str], persons: np.ndarray, *, repeats: int = 1000) -> dict[str, Estimate]:
    """Against the labels.

    Args:
        probabilities: (n, 5); rows of NaN are left out, and so are labels that are none of :data:`EMOTIONS`.
        labels: n emotions.
        persons: (n,) who is shown.
        repeats: bootstrap resamples.

    Returns:
        ``emotion_accuracy``, ``emotion_balanced_accuracy`` (mean over the labels that occur; chance is 0.2) and ``emotion_smile_auc``,
        the AUC of the smile probability, labeled smiling against labeled neutral.
    """
    names = np.asarray(labels)
    valid = np.isfinite(probabilities).all(axis=1) & np.isin(names, EMOTIONS)
    answers = np.array(EMOTIONS)[np.argmax(np.nan_to_num(probabilities), axis=1)]
    right = (answers == names).astype(float)
    smile = np.where(valid, probabilities[:, EMOTIONS.index(SMILING)], np.nan)
    return {
        "emotion_accuracy": bootstrap_mean(persons, np.where(valid, right, np.nan), repeats=repeats),
        "emotion_balanced_accuracy": bootstrap(persons, lambda rows: _balanced(right[rows], names[rows]), valid=valid, repeats=repeats),
        "emotion_smile_auc": smile_auc(smile, names == SMILING, names == NEUTRAL, persons, repeats=repeats),
    }


def agreement_measures(before: np.ndarray, after: np.ndarray, persons: np.ndarray, *, repeats: int = 1000) -> dict[str, Estimate]:
    """Between a picture and what was made of it, whatever the label says.

    Args:
        before, after: (n, 5) probabilities; rows of NaN on either side are left out.
        persons: (n,) who is shown.
        repeats: bootstrap resamples.

    Returns:
        ``emotion_agreement``, the share of equal answers, and ``emotion_kappa`` (Cohen 1960), the same beyond what the answers' frequencies
        alone would give: 0 for a constant answer, 1 for perfect agreement; NaN where every answer is the same. The same number as
        scikit-learn's ``cohen_kappa_score``, which is too slow for a bootstrap.
    """
    valid = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    first, second = (np.argmax(np.nan_to_num(values), axis=1) for values in (before, after))
    count = before.shape[1]

    def kappa(rows: np.ndarray) -> float:
        shares = [np.bincount(answers[rows], minlength=count) / len(rows) for answers in (first, second)]
        chance = float(shares[0] @ shares[1])
        return (float((first[rows] == second[rows]).mean()) - chance) / (1 - chance) if chance < 1 else float("nan")

    return {
        "emotion_agreement": bootstrap_mean(persons, np.where(valid, first == second, np.nan), repeats=repeats),
        "emotion_kappa": bootstrap(persons, kappa, valid=valid, repeats=repeats),
    }
