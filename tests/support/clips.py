"""Tiny video files in every odd kind: codecs, pixel formats, clocks, orientation, tags, sound, several streams.

Pictures are RGB uint8 (height, width, 3). They are written with PyAV directly, not through the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

HEIGHT, WIDTH = 48, 64
MILLISECOND = Fraction(1, 1000)


def picture(index: int = 0, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth colorful picture that differs from corner to corner and moves with ``index``."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    red = 120 + 90 * np.sin(4 * x + 0.15 * index)
    green = 40 + 150 * y
    blue = 200 - 140 * x * y - 40 * np.cos(3 * y - 0.1 * index)
    return np.stack([red, green, blue], axis=-1).round().clip(0, 255).astype(np.uint8)


def pictures(count: int, *, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """``count`` frames of a moving picture."""
    return [picture(index, height=height, width=width) for index in range(count)]


def decoded_frame(image: np.ndarray, pixel_format: str, *, matrix: int = 5, full: bool = False, alpha: np.ndarray | None = None) -> Any:
    """A picture in a pixel format, converted by swscale; ``alpha`` (height, width) uint8 for formats that have it."""
    if alpha is None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    else:
        frame = av.VideoFrame.from_ndarray(np.dstack([image, alpha]), format="rgba")
    frame.color_range = 2
    flags = "BILINEAR"
    converted = VideoReformatter().reformat(
        frame, format=pixel_format, dst_colorspace=matrix, dst_color_range=2 if full else 1, interpolation=flags
    )
    return converted


class Track:
    """One video stream of a clip while it is written."""

    def __init__(
        self,
        container: Any,
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        height: int = HEIGHT,
        width: int = WIDTH,
        time_base: Fraction = Fraction(1, 25),
        rate: Fraction = Fraction(25),
        options: Mapping[str, str] | None = None,
        matrix: int = 2,
        full: bool | None = None,
        primaries: int = 2,
        transfer: int = 2,
        aspect: Fraction | None = None,
        rotation: tuple[int, bool, bool] | None = None,
        interlaced: bool = False,
    ) -> None:
        quality = {"crf": "10", "preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
        if codec == "libx265":
            quality["x265-params"] = "log-level=none:pools=1"
        if codec in ("libvpx", "libvpx-vp9"):
            quality = {"crf": "10", "b": "2M", "deadline": "realtime", "cpu-used": "5"}
        self.container, self.matrix, self.full, self.interlaced = container, matrix, full, interlaced
        self.stream = container.add_stream(codec, rate=rate, options={**quality, **(options or {})})
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, pixel_format
        self.stream.time_base = self.stream.codec_context.time_base = time_base
        self.time_base = time_base
        if codec not in ("libx264", "libx265", "libvpx", "libvpx-vp9", "ffv1"):
            self.stream.bit_rate = 2_000_000
        if aspect is not None:
            self.stream.sample_aspect_ratio = aspect
        if rotation is not None:
            self.stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        self.stream.colorspace, self.stream.color_primaries, self.stream.color_trc = matrix, primaries, transfer
        self.stream.color_range = 0 if full is None else 2 if full else 1
        self._graph: Any = None

    def write(self, image: np.ndarray | Any, pts: int, *, alpha: np.ndarray | None = None) -> None:
        """Encode a picture, or a frame that is in the stream's pixel format already."""
        frame = image
        if isinstance(image, np.ndarray):
            frame = decoded_frame(
                image, self.stream.pix_fmt, matrix=self.matrix if self.matrix in (1, 9) else 5, full=bool(self.full), alpha=alpha
            )
        frame.pts, frame.time_base = pts, self.time_base
        if self.interlaced:
            frame = self._flagged(frame)
        self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))

    def _flagged(self, frame: Any) -> Any:
        """The same frame with the flags of interlacing, which PyAV cannot set itself."""
        if self._graph is None:
            self._graph = av.filter.Graph()
            source = self._graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=self.time_base)
            self._graph.link_nodes(source, self._graph.add("setfield", "tff"), self._graph.add("buffersink")).configure()
        self._graph.push(frame)
        return self._graph.pull()


@contextmanager
def opened(path: Path, *, container_options: Mapping[str, str] | None = None) -> Iterator[Any]:
    """libav's container for writing."""
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        yield container


def write_clip(
    path: Path,
    images: Sequence[Any],
    *,
    pts: Sequence[int] | None = None,
    alphas: Sequence[np.ndarray] | None = None,
    container_options: Mapping[str, str] | None = None,
    **options: Any,
) -> Path:
    """A file with one video stream; ``options`` as in :class:`Track`. Without ``pts`` every frame lasts one unit of the time base."""
    if images and isinstance(images[0], np.ndarray):
        options = {"height": images[0].shape[0], "width": images[0].shape[1], **options}
    with opened(path, container_options=container_options) as container:
        track = Track(container, **options)
        for index, image in enumerate(images):
            track.write(image, pts[index] if pts else index, alpha=alphas[index] if alphas else None)
        track.finish()
    return path


def tone(seconds: float, *, rate: int = 48_000, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """(channels, samples) float32 sine."""
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


class Sound:
    """One audio stream of a clip while it is written."""

    def __init__(self, container: Any, *, codec: str = "aac", rate: int = 48_000, channels: int = 1) -> None:
        layout = "mono" if channels == 1 else "stereo"
        self.container, self.rate, self.layout = container, rate, layout
        options = {"strict": "experimental"} if codec in ("vorbis", "opus") else {}
        self.stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
        self.position = 0
        self.stream.codec_context.open()

    def write(self, samples: np.ndarray, *, start: int | None = None) -> None:
        """Encode (channels, samples) float32, from sample ``start`` or where the last call ended."""
        size = self.stream.codec_context.frame_size or 1024
        wanted = self.stream.codec_context.format.name
        resampler = av.AudioResampler(format=wanted, layout=self.layout, rate=self.rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self.position if start is None else start
        self.position = frame.pts + samples.shape[1]
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            self.container.mux(self.stream.encode(piece))

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))


def write_clip_with_sound(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    sound_codec: str = "aac",
    channels: int = 1,
    **options: Any,
) -> Path:
    """A clip of 25 frames a second with 440 Hz all along; ``options`` as in :class:`Track`."""
    with opened(path) as container:
        track = Track(container, height=images[0].shape[0], width=images[0].shape[1], **options)
        sound = Sound(container, codec=sound_codec, channels=channels)
        sound.write(tone(len(images) / 25, channels=channels))
        for index, image in enumerate(images):
            track.write(image, index)
        track.finish()
        sound.finish()
    return path


def payloads(path: Path) -> list[tuple[int, int]]:
    """(position, length) in the file of every video packet."""
    data = path.read_bytes()
    found, start = [], 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                start = data.index(bytes(packet), start)
                found.append((start, packet.size))
                start += packet.size
    return found


def damage(path: Path, packets: Sequence[int]) -> Path:
    """Overwrite the middle of some packets; the container stays whole."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(3)
    places = payloads(path)
    for index in packets:
        start, length = places[index]
        data[start + length // 4 : start + length * 3 // 4] = rng.bytes(length * 3 // 4 - length // 4)
    path.write_bytes(data)
    return path


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(first.astype(int) - second.astype(int)).mean())
