"""The 478-point mesh of one face: the landmark network of MediaPipe's Face Landmarker, run by LiteRT without MediaPipe's graph around it.

The network takes a square of 256 px around an upright face, 1.5 times as large as the extent of its points. A detector says roughly where
that is; what the network finds says it better, so it looks again until the square hardly moves: half of the faces need a second look. Its
second output tells how sure it is that there is a face: a logit, about 14 for faces from the front, below 0 for most profiles and for what
is no face.

Sources: Kartynnik et al. 2019, arXiv 1907.06724; Grishchenko et al. 2020, arXiv 2006.10962; the model is Google's (Apache-2.0).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .detection_pyramid import Levels, brighten, face_patch
from .face_mesh import CHIN, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from .faces import NUM_LANDMARKS, Box, box_of_points, box_overlap
from .keypoints import five_points, roll_of

SIDE = 256
# Side of the square over the extent of the points in it: what the network was trained with.
PADDING = 1.5
FOREHEAD = 10
# Against a detector's box the points lie lower and reach less far, in sides of the box (medians of 228 faces).
LOWER, SMALLER = 0.058, 0.91
# A square has settled when its successor is so near: distance in sides, logarithm of the ratio of sides, radians. Measured on 228 faces: as
# exact as two looks from the box, 1.5 looks each.
SETTLED = (0.03, 0.06, 0.08)
MAX_LOOKS = 3


@dataclass(frozen=True, eq=False)
class Square:
    """Where a face is expected: center (x, y) and side in photo pixels, and how far it is turned, in radians, clockwise on the screen."""

    center: tuple[float, float]
    side: float
    roll: float

    @classmethod
    def around(cls, box: Box, roll: float, padding: float = PADDING) -> Square:
        """About a box, whose longer side is taken for the extent of the points."""
        center = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return cls(center, max(box[2] - box[0], box[3] - box[1]) * padding, roll)

    @classmethod
    def of_detection(cls, box: Box, roll: float) -> Square:
        """Where a detector's box says that the points are."""
        box_square = cls.around(box, roll, 1.0)
        (x, y), shift = box_square.center, LOWER * box_square.side
        return cls((x - shift * math.sin(roll), y + shift * math.cos(roll)), box_square.side * SMALLER * PADDING, roll)

    def is_near(self, other: Square) -> bool:
        """Whether the network would see the same in both."""
        distance = math.dist(self.center, other.center) / other.side
        turn = abs(math.remainder(self.roll - other.roll, 2 * math.pi))
        return distance < SETTLED[0] and abs(math.log(self.side / other.side)) < SETTLED[1] and turn < SETTLED[2]

    @classmethod
    def of_mesh(cls, points: np.ndarray) -> Square:
        """About the points of a mesh, (478, 2 or 3) in photo pixels."""
        right, left, top, bottom = (points[index, :2] for index in (RIGHT_EYE_OUTER, LEFT_EYE_OUTER, FOREHEAD, CHIN))
        roll = roll_of(left - right, bottom - top)
        turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
        upright = points[:, :2] @ turn.T
        low, high = upright.min(axis=0), upright.max(axis=0)
        center = turn.T @ ((low + high) / 2)
        return cls((float(center[0]), float(center[1])), max(1.0, float((high - low).max())) * PADDING, roll)


@dataclass(frozen=True, eq=False)
class Mesh:
    """What the network saw in the last square.

    Attributes:
        points: (478, 3) float32 in photo pixels, z in the same unit, towards the viewer negative.
        presence: logit of there being a face.
    """

    points: np.ndarray
    presence: float


def load_interpreter(network: bytes) -> Any:
    """LiteRT's interpreter of a TFLite file, ready to run, on one thread, for one caller at a time.

    Raises:
        ImportError: no LiteRT.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("Landmarks, blendshapes and mattes need LiteRT: pip install ai-edge-litert") from error
    with quiet_stderr():  # it announces its delegate on file descriptor 2
        interpreter = Interpreter(model_content=network, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


class LandmarkNetwork:
    """The network, for one thread at a time.

    Args:
        network: the TFLite file.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self, network: bytes) -> None:
        self._interpreter = load_interpreter(network)
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {tuple(detail["shape"]): detail["index"] for detail in self._interpreter.get_output_details()}
        self._points, self._presence = outputs[1, 1, 1, NUM_LANDMARKS * 3], outputs[1, 1, 1, 1]

    def __call__(self, patch: np.ndarray) -> tuple[np.ndarray, float]:
        """RGB uint8 (256, 256, 3) -> (478, 3) points in pixels of the patch, and the presence logit."""
        # straight into the interpreter's memory, 0 to 1; no reference to it may live while the interpreter computes
        np.multiply(patch, np.float32(1 / 255), out=self._interpreter.tensor(self._input)()[0], dtype=np.float32)
        self._interpreter.invoke()
        points = self._interpreter.get_tensor(self._points).reshape(NUM_LANDMARKS, 3)
        return points, float(self._interpreter.get_tensor(self._presence).item())

    def fit(self, levels: Levels, square: Square) -> Mesh:
        """A mesh for the face in a square.

        Args:
            levels: the photo.
            square: where the face is expected.
        """
        for _ in range(MAX_LOOKS):
            mesh = self._look(levels, square)
            before, square = square, Square.of_mesh(mesh.points)
            if square.is_near(before):
                break
        return mesh

    def _look(self, levels: Levels, square: Square) -> Mesh:
        patch, matrix = face_patch(levels, square.center, square.side, square.roll, SIDE)
        points, presence = self(brighten(patch))
        scale = square.side / SIDE
        photo = np.hstack([points[:, :2] @ matrix[:, :2].T + matrix[:, 2], points[:, 2:] * scale])
        return Mesh(photo.astype(np.float32), presence)


class LandmarkWorkers:
    """Threads, each with a landmark network of its own; made when first needed, and anew in a process that was forked.

    Args:
        network: the TFLite file.
        threads: how many.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self, network: bytes, threads: int) -> None:
        LandmarkNetwork(network)  # an error belongs to whoever builds the detector
        self._network, self._threads = network, threads
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ganon-detection")

    def map(self, function: Callable[[LandmarkNetwork, Any], Any], items: Iterable[Any]) -> list[Any]:
        """``function`` of a landmark network and every item, in the order of the items."""
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._start()
        local = self._local

        def run(item: Any) -> Any:
            if not hasattr(local, "network"):
                local.network = LandmarkNetwork(self._network)
            return function(local.network, item)

        return list(self._pool.map(run, items))

    def close(self) -> None:
        """Calls under way finish, later ones fail."""
        self._pool.shutdown(wait=True, cancel_futures=True)


_quiet_lock = threading.Lock()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """LiteRT's C++ code writes to file descriptor 2 when a network is loaded, and has no log level: one at a time is silenced."""
    with _quiet_lock:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (AttributeError, OSError):  # no standard error to keep clean
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


def agreement(points: np.ndarray, box: Box, keypoints: np.ndarray) -> tuple[float, float]:
    """How well a mesh and a detector mean the same face.

    Args:
        points: (478, 2 or 3) mesh in photo pixels.
        box: the detector's.
        keypoints: (5, 2) the detector's.

    Returns:
        mean distance of the five points in sides of the box, and the overlap of the boxes (intersection over union).
    """
    size = max(box[2] - box[0], box[3] - box[1])
    distance = float(np.linalg.norm(five_points(points) - keypoints, axis=1).mean()) / size
    return distance, float(box_overlap(box_of_points(points), np.array([box]))[0][0])
