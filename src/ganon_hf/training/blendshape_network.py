"""The blendshape network of MediaPipe's Face Landmarker as a function of landmarks; it defines expressions for the training.

Sources: Grishchenko et al. 2023, Blendshapes GHUM, arXiv 2309.05782; the file is Google's (Apache-2.0), see ``detectors/README.md``.
None of its weights gets into a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..core.detection_files import read_network
from ..core.detection_mesh import load_interpreter

BLENDSHAPES_FILE = "face_blendshapes.tflite"
BLENDSHAPES_SHA256 = "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082"
# What the scores stand for, in MediaPipe's words and order (face_blendshapes_graph.cc); left and right are the person's.
BLENDSHAPE_NAMES = tuple(
    """
    _neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
    eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
    eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose
    mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight
    mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft
    mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight
    """.split()
)
NUM_BLENDSHAPES = len(BLENDSHAPE_NAMES)
# The 146 landmarks that the network takes (MediaPipe, face_blendshapes_graph), in its order.
_POINTS = np.array(
    [
        *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87),
        *(88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160),
        *(161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284),
        *(285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362),
        *(365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454),
        *(466, *range(468, 478)),
    ]
)


class BlendshapeNetwork:
    """Landmarks -> 52 blendshape scores. Not to be shared by threads.

    It gives MediaPipe's scores to the last digits for MediaPipe's landmarks. The unit does not matter, the roll does: 15 degrees change a
    score by up to 0.03. MediaPipe does not turn the points upright, and neither does this.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self) -> None:
        self._interpreter = load_interpreter(read_network(BLENDSHAPES_FILE))
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, shapes: Iterable[np.ndarray]) -> np.ndarray:
        """(478, 2 or 3) landmarks in any unit -> (n, 52) float32 scores, 0 to 1, in the order of :data:`BLENDSHAPE_NAMES`."""
        scores = []
        for shape in shapes:
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(shape[_POINTS, :2], dtype=np.float32)[None])
            self._interpreter.invoke()
            scores.append(self._interpreter.get_tensor(self._output).reshape(NUM_BLENDSHAPES).copy())
        return np.array(scores, np.float32).reshape(-1, NUM_BLENDSHAPES)
