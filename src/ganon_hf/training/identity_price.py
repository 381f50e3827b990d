"""What identity costs in the expression code: how much a noisy code tells about whom it shows.

A code of Gaussian people and moments, with the covariance T over all pictures and W within people, tells

    I = 1/2 log det(T + s^2) - 1/2 log det(W + s^2)

nats about the person if its noise has the standard deviation s (two-covariance model, Ioffe 2006). Its gradient is the price: a direction
in which people differ costs, one in which a person only changes does not. Learned critics, that is, networks that find out who a code is
and that the code has to fool (Edwards and Storkey, ICLR 2016), give about the same curve of privacy over expression and take longer.

Training pictures know some thousand people with two pictures. An encoder can learn them by heart and hide them alone: their two codes then
differ more than those of strangers, and I is negative. Most pairs are therefore of invented people: the person of one picture with the
expressions of two others, where the model draws how much of each shape is the person. There is no end of these.
"""

from __future__ import annotations

import numpy as np
import torch


def identity_information(first: torch.Tensor, second: torch.Tensor, noise: float) -> torch.Tensor:
    """Nats that a noisy code tells about the person, as if people and moments were Gaussian.

    Args:
        first, second: (n, r) codes without noise; row by row two pictures of one person. n must exceed r clearly.
        noise: standard deviation of the noise, positive.

    Returns:
        a number with gradients; about 0 where the two pictures have nothing in common.
    """
    spread = noise**2 * torch.eye(first.shape[1])
    difference = first - second
    total = torch.cov(torch.cat([first, second]).T) + spread
    within = difference.T @ difference / (2 * len(difference)) + spread
    return (torch.logdet(total) - torch.logdet(within)) / 2


class PersonPairs:
    """Endless pairs of shapes of one person each, a third of them of real people and the rest of invented ones.

    Args:
        shapes: (n, d) coordinates of shapes.
        persons: (n,) who they show, negative for unknown.
        between, within: (d, d) covariances of the shapes between and within people.

    Raises:
        ValueError: nobody has two pictures.
    """

    def __init__(self, shapes: torch.Tensor, persons: np.ndarray, between: np.ndarray, within: np.ndarray):
        known = np.flatnonzero(persons >= 0)
        order = known[np.argsort(persons[known], kind="stable")]
        _, starts, sizes = np.unique(persons[order], return_index=True, return_counts=True)
        if not (sizes >= 2).any():
            raise ValueError("pairs need people with two pictures, but nobody has them.")
        self._shapes, self._order = shapes, torch.from_numpy(order)
        self._starts, self._sizes = (torch.from_numpy(values[sizes >= 2]) for values in (starts, sizes))
        gain = between @ np.linalg.inv(between + within)
        values, vectors = np.linalg.eigh(between - gain @ between)
        self._gain = torch.from_numpy(gain).float()
        self._unknown = torch.from_numpy(vectors * np.sqrt(np.maximum(values, 0))).float()

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Two (count, d) shapes, row by row one person."""
        real, invented = self._real(count // 3, generator), self._invented(count - count // 3, generator)
        return torch.cat([real[0], invented[0]]), torch.cat([real[1], invented[1]])

    def _real(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        who = torch.randint(len(self._starts), (count,), generator=generator)
        sizes, random = self._sizes[who], torch.rand(2, count, generator=generator)
        first = (random[0] * sizes).long()
        second = (first + 1 + (random[1] * (sizes - 1)).long()) % sizes
        return self._shapes[self._order[self._starts[who] + first]], self._shapes[self._order[self._starts[who] + second]]

    def _invented(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        shown, first, second = (self._shapes[torch.randint(len(self._shapes), (count,), generator=generator)] for _ in range(3))
        person = self._person(shown, generator)
        return first - self._person(first, generator) + person, second - self._person(second, generator) + person

    def _person(self, shapes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A draw of the persons' part of (n, d) shapes from what the model believes about it."""
        return shapes @ self._gain.T + torch.randn(shapes.shape, generator=generator) @ self._unknown.T
