"""OpenCV as ``cv2``, loaded when it is first used, and one error with the remedy where it is absent."""

from __future__ import annotations

from typing import Any


class _LazyOpenCV:
    """Proxy of the module ``cv2``: importing it takes a moment, and where an exported folder is loaded it may not be installed."""

    def __getattr__(self, name: str) -> Any:
        try:
            import cv2 as module
        except ImportError as error:
            raise ImportError("This needs OpenCV: pip install opencv-python-headless") from error
        value = getattr(module, name)
        setattr(self, name, value)  # looked up once
        return value


cv2: Any = _LazyOpenCV()
