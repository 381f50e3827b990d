"""The blendshape network of MediaPipe's Face Landmarker as a function of landmarks; it defines expressions for the training.

Source: Google MediaPipe, ``face_landmarker.task`` (Apache-2.0). Users provide the bundle: it is not shipped, and none of its weights gets
into a checkpoint.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

NUM_BLENDSHAPES = 52
_MEMBER = "face_blendshapes.tflite"
_MAX_BYTES = 50_000_000
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
    """Landmarks -> 52 blendshape scores.

    Args:
        bundle: path of ``face_landmarker.task``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: ai-edge-litert is not installed.
        ValueError: the file is not a Face Landmarker bundle.
    """

    def __init__(self, bundle: str | Path) -> None:
        path = Path(bundle)
        if not path.is_file():
            raise FileNotFoundError(f"the Face Landmarker bundle is not at {path}; its address is in MediaPipe's model overview.")
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError("fitting the expression code needs ai-edge-litert: pip install 'ganon-hf[train]'") from error
        try:
            with zipfile.ZipFile(path) as members:
                if members.getinfo(_MEMBER).file_size > _MAX_BYTES:
                    raise ValueError(f"{path}: {_MEMBER} must have at most {_MAX_BYTES} bytes; this is no blendshape network.")
                content = members.read(_MEMBER)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no Face Landmarker bundle with {_MEMBER}: {error}") from error
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, shapes: Iterable[np.ndarray]) -> np.ndarray:
        """Frontal (478, 2 or 3) landmarks in any unit -> (n, 52) float32 scores, 0 to 1."""
        scores = []
        for shape in shapes:
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(shape[_POINTS, :2], dtype=np.float32)[None])
            self._interpreter.invoke()
            scores.append(self._interpreter.get_tensor(self._output).reshape(NUM_BLENDSHAPES).copy())
        return np.array(scores, np.float32).reshape(-1, NUM_BLENDSHAPES)
