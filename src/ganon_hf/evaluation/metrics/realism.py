"""Realism of generated faces: a classifier two-sample test, detail per octave, and a kernel distance.

All measures use pairs: the same photo before and after, in the same square crop under the same mask, so that neither outline, framing,
light nor JPEG gives the answer away. The classifier two-sample test is Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests" (ICLR
2017): a classifier is trained on real against generated, and the figure is its accuracy on unseen people; 50 % is chance. A high accuracy
may rest on one trivial clue, hence two classifiers on different features, and measures that still change when both are always right.

Conventions: pictures are (n, S, S, 3) uint8 RGB, masks (n, S, S) bool, black outside; an octave is counted from the finest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..data.face_pairs import ENERGY_FLOOR, FacePairs, cell_means, filled_luma, octave_energies, picture_statistics
from .estimates import Estimate, auc, bootstrap, bootstrap_mean

_KID_SEED, _KID_FILTERS = 20180105, 16
_BATCH = 8  # pairs


def person_folds(persons: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(n,) fold of each row; all pictures of a person lie in one fold (scikit-learn's ``GroupKFold`` would draw others for a seed).

    Raises:
        ValueError: fewer people than folds, or fewer than two folds.
    """
    labels, inverse = np.unique(persons, return_inverse=True)
    if folds < 2 or len(labels) < folds:
        raise ValueError(f"{folds} folds need at least two folds and as many people, but there are {len(labels)} people.")
    return np.random.default_rng(seed).permutation(np.arange(len(labels)) % folds)[inverse]


# (all pairs, training rows, test rows, seed) -> (2, rows) scores of the real and the generated ones, above 0 means "real"
Classifier = Callable[[FacePairs, np.ndarray, np.ndarray, int], np.ndarray]


class StatisticsClassifier:
    """Logistic regression on :func:`picture_statistics`, trained on pictures and their mirror images.

    Raises:
        ImportError: scikit-learn is not installed.
    """

    def __init__(self, pairs: FacePairs) -> None:
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise ImportError("the realism measures need scikit-learn: pip install 'ganon-hf[eval]'") from error
        # a ridge of 1 on the sum of the losses; mirrored pictures are no new evidence, so it counts twice with them
        self._regression = LogisticRegression(C=0.5, tol=1e-6, max_iter=1000)
        both = (pairs.real, pairs.generated)
        self._plain = np.stack([picture_statistics(pictures, pairs.masks) for pictures in both])  # (2, n, features)
        self._mirrored = np.stack([picture_statistics(pictures[:, :, ::-1], pairs.masks[:, :, ::-1]) for pictures in both])

    def __call__(self, pairs: FacePairs, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        """See ``Classifier``; nothing here is random."""
        known = np.stack([self._plain[:, train], self._mirrored[:, train]])  # (2, 2, rows, features)
        features = known.reshape(-1, known.shape[-1])
        is_real = np.tile(np.repeat([True, False], len(train)), 2)
        mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
        self._regression.fit((features - mean) / spread, is_real)
        return np.stack([self._regression.decision_function((rows - mean) / spread) for rows in self._plain[:, test]])


class _Network(nn.Module):
    """Four strided convolutions, mean over what the mask shows, one number. Pixels are folded into channels down to 128 px or less."""

    def __init__(self, size: int, generator: torch.Generator):
        super().__init__()
        self.fold = 1
        while size // self.fold > 128 and size % (self.fold * 2) == 0:
            self.fold *= 2
        widths = [4 * self.fold**2, 16, 32, 48, 64]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.out = nn.Linear(widths[-1], 1)
        for layer in (*self.convolutions, self.out):  # from a generator of its own: the global one stays untouched
            deviation = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * deviation
            nn.init.zeros_(layer.bias)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 4, S, S) of color in [-1, 1] and mask -> (B,)."""
        hidden = functional.pixel_unshuffle(pictures, self.fold)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = functional.relu(norm(convolution(hidden)))
        weight = functional.interpolate(pictures[:, 3:], size=hidden.shape[2:], mode="area")
        pooled = (hidden * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-3)
        return self.out(pooled)[:, 0]


def _tensor(pictures: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    shown = torch.from_numpy(np.ascontiguousarray(masks))[:, None].float()
    color = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat([color * shown, shown], dim=1)


def network_classifier(pairs: FacePairs, train: np.ndarray, test: np.ndarray, seed: int, *, epochs: int = 12) -> np.ndarray:
    """Small convolutional network from scratch, see ``Classifier``; the same seed and number of threads give the same scores."""
    generator, order = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator before theirs replaces the weights
        network = _Network(pairs.real.shape[1], generator)
    batch = min(_BATCH, len(train))
    steps = max(1, len(train) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * steps)
    network.train()
    for _ in range(epochs):
        shuffled = order.permutation(train)
        for step in range(steps):
            rows = shuffled[step * batch : (step + 1) * batch]
            inputs = _tensor(np.concatenate([pairs.real[rows], pairs.generated[rows]]), np.tile(pairs.masks[rows], (2, 1, 1)))
            # both of a pair are mirrored or neither
            mirrored = torch.from_numpy(np.tile(order.random(len(rows)) < 0.5, 2))
            inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
            target = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(network(inputs), target).backward()
            optimizer.step()
            schedule.step()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):  # running means lag behind after so few steps: take them anew with the final weights
            norm.reset_running_stats()
            norm.momentum = None
    with torch.inference_mode():
        for rows in np.array_split(train, -(-len(train) // 32)):
            network(_tensor(np.concatenate([pairs.real[rows], pairs.generated[rows]]), np.tile(pairs.masks[rows], (2, 1, 1))))
    network.eval()
    scores = []
    with torch.inference_mode():
        for pictures in (pairs.real, pairs.generated):
            parts = (_tensor(pictures[rows], pairs.masks[rows]) for rows in np.array_split(test, -(-len(test) // 32)))
            scores.append(torch.cat([(network(part) + network(part.flip(3))) / 2 for part in parts]).double().numpy())
    return np.stack(scores)


def held_out_scores(pairs: FacePairs, classifier: Classifier, *, folds: int = 3, seed: int = 0) -> np.ndarray:
    """(2, n) scores of every real and generated picture by a classifier not trained on the person; see :func:`person_folds`."""
    fold = person_folds(pairs.persons, folds, seed)
    scores = np.zeros((2, len(pairs)))
    for number in range(folds):
        rows = np.flatnonzero(fold == number)
        scores[:, rows] = classifier(pairs, np.flatnonzero(fold != number), rows, seed + number)
    return scores


def two_sample_test(scores: np.ndarray, persons: np.ndarray, *, repeats: int = 1000) -> tuple[Estimate, Estimate]:
    """(2, n) held-out scores -> accuracy (undecided counts half) and area under the curve, with intervals over people.

    The intervals cover the choice of test people, not that of training people.
    """
    real, generated = ((np.sign(sign * row) + 1) / 2 for sign, row in zip((1, -1), scores, strict=True))
    area = bootstrap(persons, lambda rows: auc(scores[0, rows], scores[1, rows]), repeats=min(repeats, 200))
    return bootstrap_mean(persons, (real + generated) / 2, repeats=repeats), area


def kernel_features(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Fixed features that need no download.

    16 random 5 x 5 filters (Gaussian, zero mean, unit norm, fixed seed) on luma at full, half and quarter size; the log of the mean
    absolute response in each cell of a 4 x 4 grid (random convolutions as descriptors: Saxe et al., ICML 2011); and
    :func:`picture_statistics`.

    Args:
        pictures: (n, S, S, 3) uint8; masks: (n, S, S) bool.

    Returns:
        (n, 16 * 3 * 16 + 196).
    """
    filters = torch.randn(_KID_FILTERS, 1, 5, 5, generator=torch.Generator().manual_seed(_KID_SEED))
    filters -= filters.mean(dim=(2, 3), keepdim=True)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
    rows = []
    for picture, mask in zip(pictures, masks, strict=True):
        level, shown, parts = (
            torch.from_numpy(filled_luma(picture, mask))[None, None],
            torch.from_numpy(mask.astype(np.float32))[None, None],
            [],
        )
        for _ in range(3):
            response = functional.conv2d(functional.pad(level, (2, 2, 2, 2), mode="replicate"), filters).abs()
            parts.append(np.log(cell_means(response[0].numpy(), shown[0, 0].numpy() > 0.5) + ENERGY_FLOOR).ravel())
            level, shown = functional.avg_pool2d(level, 2), functional.avg_pool2d(shown, 2)
        rows.append(np.concatenate(parts))
    return np.hstack([np.array(rows, np.float64), picture_statistics(pictures, masks)])


def kernel_distance(real: np.ndarray, generated: np.ndarray, persons: np.ndarray, *, repeats: int = 1000) -> Estimate:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / d + 1)^3, as in KID (Binkowski et al., ICLR 2018).

    Not comparable with published KID: the features are :func:`kernel_features`, not Inception's, standardized by the real pictures.
    Row i of both is one photo, so only pairs of different people enter, in all three terms: about 0 where there is no difference (it
    may be below), larger is worse.

    Args:
        real, generated: (n, d) features; persons: (n,) labels.
    """
    mean, spread = real.mean(axis=0), np.maximum(real.std(axis=0), 1e-3)
    x, y = ((np.clip((features - mean) / spread, -10, 10)) for features in (real, generated))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    others = (persons[:, None] != persons[None]).astype(np.float64)
    discrepancy = (kernel(x, x) + kernel(y, y) - kernel(x, y) - kernel(y, x)) * others

    def statistic(rows: np.ndarray) -> float:
        times = np.bincount(rows, minlength=len(persons)).astype(np.float64)
        pairs = times @ others @ times
        return float(times @ discrepancy @ times / pairs) if pairs else float("nan")

    return bootstrap(persons, statistic, repeats=repeats)


def detail_measures(real: np.ndarray, generated: np.ndarray, persons: np.ndarray, *, repeats: int = 1000) -> dict[str, Estimate]:
    """Generated over real energy of each octave: 1 is as detailed as the photo, which does not mean that the detail is right.

    Args:
        real, generated: (n, 5) of :func:`octave_energies`.
        persons: (n,) who is in the photo.
        repeats: bootstrap resamples.

    Returns:
        ``detail_1`` (finest) ... ``detail_5``: geometric mean over pictures.
    """
    logs = np.log(generated + ENERGY_FLOOR) - np.log(real + ENERGY_FLOOR)

    def measure(values: np.ndarray) -> Estimate:
        return bootstrap(persons, lambda rows: float(np.exp(values[rows].mean())), repeats=repeats)

    return {f"detail_{number}": measure(values) for number, values in enumerate(logs.T, start=1)}


def realism_measures(pairs: FacePairs, *, folds: int = 3, seed: int = 0, epochs: int = 12, repeats: int = 1000) -> dict[str, Estimate]:
    """All realism measures of one generator.

    Args:
        pairs: real and generated faces.
        folds: of the cross validation, at most as many as people.
        seed: of folds and network.
        epochs: of the network.
        repeats: bootstrap resamples.

    Returns:
        ``told_network``, ``told_statistics`` (held-out accuracy of the two classifiers), ``told_network_auc``, ``told_statistics_auc``,
        ``kernel_distance``, and ``detail_1`` ... ``detail_5`` of :func:`detail_measures` (the engine's own sharpening and grain are in).

    Raises:
        ValueError: fewer people than folds.
    """

    def network(pairs: FacePairs, train: np.ndarray, test: np.ndarray, fold_seed: int) -> np.ndarray:
        return network_classifier(pairs, train, test, fold_seed, epochs=epochs)

    measures = {}
    classifiers: dict[str, Classifier] = {"told_network": network, "told_statistics": StatisticsClassifier(pairs)}
    for name, classifier in classifiers.items():
        scores = held_out_scores(pairs, classifier, folds=folds, seed=seed)
        measures[name], measures[f"{name}_auc"] = two_sample_test(scores, pairs.persons, repeats=repeats)
    real, generated = (kernel_features(pictures, pairs.masks) for pictures in (pairs.real, pairs.generated))
    measures["kernel_distance"] = kernel_distance(real, generated, pairs.persons, repeats=repeats)
    before, after = (octave_energies(pictures, pairs.masks) for pictures in (pairs.real, pairs.generated))
    return measures | detail_measures(before, after, pairs.persons, repeats=repeats)
