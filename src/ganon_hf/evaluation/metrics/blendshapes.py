"""The 52 blendshape scores of MediaPipe's Face Landmarker for the face at a known place: its landmark network and its blendshape network.

MediaPipe's graph looks at a picture once, in a square that its face detector draws; here the landmark network looks until its square has
settled, as the graph does in a video. That reads more steadily: see docs/evaluation.md.
"""

from __future__ import annotations

import numpy as np

from ...core.detection_files import LANDMARKS_FILE, read_network
from ...core.detection_merging import mesh_fits
from ...core.detection_mesh import LandmarkNetwork, Square
from ...core.detection_pyramid import Levels
from ...core.detection_search import MIN_PRESENCE
from ...core.faces import Box
from ...training.blendshape_network import BLENDSHAPE_NAMES, NUM_BLENDSHAPES, BlendshapeNetwork

# How often a mesh is fitted again from where the last one lies. Scores of 58 faces correlate with those from a box that is 10 % larger at
# 0.981 without, at 0.998 with two.
REFITS = 2


class MeshReader:
    """The mesh of the face at a known place. Not to be shared by threads.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self) -> None:
        self._network = LandmarkNetwork(read_network(LANDMARKS_FILE))

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray | None:
        """The mesh around a box, which may be turned by up to 60 degrees.

        Input and output are read from the same place, so that they differ in nothing but the face.

        Args:
            photo: RGB uint8 (height, width, 3).
            box: of the face, in photo pixels.

        Returns:
            (478, 3) points in photo pixels; None where no face was read.
        """
        levels = Levels(photo)
        mesh = self._network.fit(levels, Square.around(box, roll=0.0))
        for _ in range(REFITS):
            mesh = self._network.fit(levels, Square.of_mesh(mesh.points))
        return mesh.points if mesh.presence >= MIN_PRESENCE and mesh_fits(mesh.points, box) else None


class BlendshapeReader:
    """Scores of the face at a known place. Not to be shared by threads.

    Attributes:
        names: of the 52 scores.

    Raises:
        ImportError: no LiteRT.
    """

    names = BLENDSHAPE_NAMES

    def __init__(self) -> None:
        self._mesh = MeshReader()
        self._blendshapes = BlendshapeNetwork()

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray:
        """Scores of the face around a box.

        Args:
            photo, box: see :class:`MeshReader`.

        Returns:
            (52,) 0 to 1 in the order of ``names``; NaN where no face was read.
        """
        points = self._mesh(photo, box)
        return np.full(NUM_BLENDSHAPES, np.nan) if points is None else self._blendshapes([points])[0].astype(np.float64)
