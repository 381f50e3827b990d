"""Video: files and streams of frames. Everybody in the picture gets one synthetic person and keeps it.

``anonymize_video`` reads a file and writes one; ``anonymize_frames`` takes arrays and yields arrays. See ``docs/video.md``.
"""

from __future__ import annotations

from .film_corrections import FilmCorrectionError, FilmCorrections, TrackCorrection, read_film_corrections
from .job import VideoReport, anonymize_video
from .reader import UnusableVideoError
from .stream import AnonymizedFrame, anonymize_frames

__all__ = [
    "AnonymizedFrame",
    "FilmCorrectionError",
    "FilmCorrections",
    "TrackCorrection",
    "UnusableVideoError",
    "VideoReport",
    "anonymize_frames",
    "anonymize_video",
    "read_film_corrections",
]
