"""Video: frames in, frames out, and files. Whoever is in the picture gets one synthetic person and keeps it.

``anonymize_video`` takes a file to a file, ``anonymize_frames`` arrays to arrays. See ``docs/video.md``.
"""

from __future__ import annotations

from .job import VideoReport, anonymize_video
from .reader import UnusableVideoError
from .stream import AnonymizedFrame, anonymize_frames

__all__ = ["AnonymizedFrame", "UnusableVideoError", "VideoReport", "anonymize_frames", "anonymize_video"]
