"""RGB frames -> segments: files of their own that begin with a key frame and keep every time stamp exactly.

A video is written as one or more segments, which :func:`ganon_hf.video.mux.concatenate_segments` joins without encoding again. H.264
segments are MP4 files whose clock ticks in the source's time base; VP9 and FFV1, which end up in Matroska, are Matroska from the start.
Frames are never reordered (no B-frames), so that the time stamps need no correction anywhere. The same frames give the same bytes: the
number of encoder threads is fixed and nothing of the machine is written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from .._atomic import atomic_file
from ..image_files import printable
from .colorspace import ColorTags, load_av
from .reader import VideoFrame

_THREADS = 4  # part of what decides the bytes: the same on every machine
_SEGMENT_CONTAINERS = {"h264": "mp4", "vp9": "matroska", "lossless": "matroska"}
_SUFFIXES = {"h264": (".mp4", ".mov", ".mkv"), "vp9": (".webm", ".mkv"), "lossless": (".mkv",)}
_BITEXACT = 0x400  # of libav's muxers: no version, no random numbers, no dates
_LIMITED, _FULL = 1, 2
_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska


@dataclass(frozen=True)
class VideoFormat:
    """How a video is encoded.

    Attributes:
        codec: ``"h264"`` (8-bit 4:2:0, plays everywhere; .mp4, .mov, .mkv), ``"vp9"`` (.webm, .mkv) or ``"lossless"`` (FFV1 in RGB: exactly
            the pixels that were written; .mkv).

    Time stamps are kept exactly in .mp4 and .mov. Matroska (.mkv, .webm) counts in milliseconds.
    """

    codec: str = "h264"

    def __post_init__(self) -> None:
        if self.codec not in _SUFFIXES:
            raise ValueError(f"codec must be one of {', '.join(_SUFFIXES)}, but got {self.codec!r}.")

    def check_target(self, path: str | os.PathLike[str]) -> None:
        """ValueError where a file name's suffix does not fit the codec."""
        suffixes = _SUFFIXES[self.codec]
        if Path(path).suffix.lower() not in suffixes:
            raise ValueError(f"{printable(path)}: {self.codec} video goes into {' or '.join(suffixes)}; change the name or the codec.")


class VideoLike(Protocol):
    """What an encoder must know of a video: a :class:`~ganon_hf.video.reader.VideoReader`, or :class:`VideoProperties`."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def frame_rate(self) -> Fraction: ...
    @property
    def sample_aspect_ratio(self) -> Fraction: ...
    @property
    def color(self) -> ColorTags: ...


@dataclass(frozen=True)
class VideoProperties:
    """Size, clock and colors of frames that do not come from a file.

    Attributes:
        width, height: in pixels.
        time_base: seconds per unit of the time stamps.
        frame_rate: frames per second on the average.
        sample_aspect_ratio: width by height of one pixel as shown.
        color: tags that fit the RGB pixels.
    """

    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    sample_aspect_ratio: Fraction = Fraction(1)
    color: ColorTags = ColorTags()

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 16384:
                raise ValueError(f"{name} must be an integer from 1 to 16384, but got {value!r}.")
        for name in ("time_base", "frame_rate", "sample_aspect_ratio"):
            value = getattr(self, name)
            if not isinstance(value, Fraction) or value <= 0:
                raise ValueError(f"{name} must be a positive Fraction, but got {value!r}.")


class SegmentWriter:
    """Encodes frames into one segment; use it in ``with``.

    The file appears under its name when the block ends without an error, complete or not at all.

    Args:
        path: where the segment goes; any name, the folder must exist. An existing file is replaced.
        format: the codec. Its container is the segment's own, not the target's.
        like: size, clock and colors. All segments of a video take the same.

    Raises:
        ValueError: a frame of another size or out of order, or a segment without any frame.
        OSError: the file cannot be written.
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], format: VideoFormat, like: VideoLike) -> None:
        self._like, self._codec = like, format.codec
        container = _SEGMENT_CONTAINERS[self._codec]
        self._clock = Fraction(1, like.time_base.denominator) if container == "mp4" else _MILLISECOND
        if container != "mp4" and like.sample_aspect_ratio != 1:  # PyAV cannot write it there
            raise ValueError(
                f"{self._codec} video must have square pixels, but these are {like.sample_aspect_ratio} as wide as high; choose h264."
            )
        if self._clock.denominator > 2**31 - 1:
            raise ValueError(f"time_base must have a denominator below 2**31, but got {like.time_base}.")
        self._av = load_av()
        self._last = self._last_tick = -1
        self._durations: dict[int, int] = {}  # of the frames inside the encoder, which forgets them
        self._finished = atomic_file(Path(path))
        temporary = self._finished.__enter__()
        try:
            self._container = open_output(temporary, container, self._clock)
            self._stream = self._add_stream()
            self._reformatter = self._av.video.reformatter.VideoReformatter()
        except BaseException as error:
            self._finished.__exit__(type(error), error, error.__traceback__)
            raise

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as problem:
            self._discard(type(problem), problem, problem.__traceback__)
            raise
        self._discard(kind, error, trace)

    def write(self, frame: VideoFrame) -> None:
        """Encode one frame; its time stamp must be larger than the last one's."""
        like = self._like
        if frame.image.shape[:2] != (like.height, like.width):
            got = f"{frame.image.shape[1]} x {frame.image.shape[0]}"
            raise ValueError(f"frames must be {like.width} x {like.height} pixels as the first one, but got {got}.")
        if frame.pts <= self._last:
            raise ValueError(f"time stamps must increase, but got {frame.pts} after {self._last}.")
        self._last = frame.pts
        picture = self._picture(frame.image)
        # Exact in MP4. Where the clock is coarse, frames that share a tick move on to the next one.
        picture.pts = self._last_tick = max(round(frame.pts * like.time_base / self._clock), self._last_tick + 1)
        picture.time_base = self._clock
        duration = frame.duration * like.time_base or 1 / like.frame_rate
        self._durations[picture.pts] = max(1, round(duration / self._clock))
        self._mux(self._stream.encode(picture))

    def _add_stream(self) -> Any:
        """The encoder with everything that decides the bytes."""
        like, color = self._like, self._like.color
        name, options = {
            "h264": ("libx264", {"preset": "veryfast", "crf": "18", "profile": "high", "bf": "0", "refs": "2"}),
            "vp9": ("libvpx-vp9", {"crf": "24", "deadline": "realtime", "cpu-used": "7", "row-mt": "1", "tile-columns": "2"}),
            "lossless": ("ffv1", {"level": "3", "slices": "4" if min(like.height, like.width) >= 16 else "1", "slicecrc": "1", "g": "1"}),
        }[self._codec]
        stream = self._container.add_stream(name, rate=like.frame_rate, options=options)
        stream.width, stream.height = like.width + self._padding[1], like.height + self._padding[0]
        stream.pix_fmt = "bgr0" if self._codec == "lossless" else "yuv420p"
        stream.sample_aspect_ratio = like.sample_aspect_ratio
        stream.time_base = stream.codec_context.time_base = self._clock
        stream.color_primaries, stream.color_trc = color.primaries, color.transfer
        stream.colorspace = 0 if self._codec == "lossless" else color.matrix
        stream.color_range = _FULL if self._codec == "lossless" else _LIMITED
        stream.thread_count = _THREADS
        return stream

    @property
    def _padding(self) -> tuple[int, int]:
        """Rows and columns to add: H.264 in 4:2:0 has even sizes only, and cutting could lose what was at the edge."""
        return (self._like.height % 2, self._like.width % 2) if self._codec == "h264" else (0, 0)

    def _picture(self, image: np.ndarray) -> Any:
        """RGB -> the encoder's pixels."""
        if any(self._padding):
            image = np.pad(image, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), mode="edge")
        picture = self._av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        picture.color_range = _FULL
        if self._codec == "lossless":
            return self._reformatter.reformat(picture, format="bgr0")
        names = self._av.video.reformatter
        return self._reformatter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=names.Colorspace.ITU709 if self._like.color.matrix == 1 else names.Colorspace.ITU601,
            dst_color_range=_LIMITED,
            interpolation=names.Interpolation.BILINEAR | names.Interpolation.ACCURATE_RND | names.Interpolation.FULL_CHR_H_INP,
        )

    def _finish(self) -> None:
        if self._last < 0:
            raise ValueError("a segment must hold at least one frame, but none was written.")
        self._mux(self._stream.encode(None))
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)
            self._container.mux(packet)

    def _discard(self, *problem: Any) -> None:
        """Free the encoder, then give the file its name or remove it."""
        try:
            self._container.close()
        except BaseException as error:  # a full disk shows here once more
            problem = problem if problem[0] is not None else (type(error), error, error.__traceback__)
            raise
        finally:
            self._finished.__exit__(*problem)


def open_output(path: Path, container: str, clock: Fraction, **options: str) -> Any:
    """libav's container for writing: no dates, versions or random numbers, and time stamps as exact as the container allows."""
    av = load_av()
    scale = str(clock.denominator)
    if container in ("mov", "mp4"):
        options |= {"video_track_timescale": scale, "movie_timescale": scale}
    output = av.open(str(path), "w", format=container, options=options)
    output.flags |= _BITEXACT
    return output
