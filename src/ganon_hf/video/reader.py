"""Video files -> upright RGB frames with their time stamps, one after the other, in constant memory.

The file is untrusted. Its content decides what it is; only container formats that hold everything in one file are opened, and
libav is given the opened file, never its name, so that no playlist or reference inside makes it open another file or an address.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import IO, Any

import numpy as np

from ..image_files import printable
from .colorspace import ColorTags, FrameConverter, load_av, output_tags

MAX_PIXELS = 64_000_000  # of one frame; 8K is 33 million
FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mxf,nut,ivf,yuv4mpegpipe"
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libav's own decoders drop the transparency of these
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a named pipe must not hang
_ATTACHED_PICTURE, _THUMBNAILS, _DEFAULT = 1 << 10, 1 << 11, 1 << 0  # dispositions of libav
_LARGEST_STEP_BACK = 1  # seconds; a time stamp further back means that the clock started again


class UnusableVideoError(ValueError):
    """A file that cannot be used as a video: the message names the file and the reason."""


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame.

    Attributes:
        image: (height, width, 3) uint8 RGB, upright.
        pts: time stamp in units of the reader's ``time_base``, at least 0.
        duration: how long it is shown, in the same units; 0 where unknown.
    """

    image: np.ndarray
    pts: int
    duration: int = 0

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"image must be a uint8 array (height, width, 3), RGB, but got {got}.")
        for name in ("pts", "duration"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be an integer of at least 0, but got {value!r}.")


class VideoReader:
    """Reads the video stream of a file; use it in ``with``, iterate over it once.

    Iterating gives :class:`VideoFrame` in the order of presentation with strictly increasing time stamps. Interlaced frames are
    deinterlaced (their number stays), HDR and BT.2020 are mapped to BT.709, transparency is put over black, frames of another size
    are scaled to the first one's. Damaged packets are left out; what was done is in ``notes``.

    Time stamps are the file's own. Only where the first one is negative, or in formats whose clock starts anywhere (MPEG streams),
    all of them are moved by ``time_shift`` seconds.

    Attributes:
        width, height: of the upright frames, in pixels.
        time_base: seconds per unit of the time stamps.
        frame_rate: frames per second on the average, for progress and for turning seconds into frames.
        sample_aspect_ratio: width by height of one pixel as shown (1 for square pixels), upright.
        color: tags that fit the RGB frames.
        num_frames: estimate, or None.
        seconds: duration, or None where the file does not say.
        time_shift: seconds that were added to the file's time stamps.
        has_audio: whether there is an audio stream.

    Raises:
        UnusableVideoError: everything that makes the file unusable, with its name and the reason.
        ImportError: PyAV is not installed.
    """

    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    sample_aspect_ratio: Fraction
    color: ColorTags
    num_frames: int | None
    seconds: float | None
    time_shift: Fraction
    has_audio: bool

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._av = load_av()
        self._path, self._name = path, printable(path)
        self._counts: Counter[str] = Counter()
        self._once: list[str] = []
        self._file = open_video_file(path)
        self._container: Any = None
        try:
            self._container = open_container(self._file, self._name)
            self._stream = self._choose_stream()
            self._decoder = self._open_decoder()
            self._decoded = self._decode()
            self._describe(next(self._decoded, None))
        except UnusableVideoError:
            self.close()
            raise
        except (self._av.error.FFmpegError, OSError) as error:
            self.close()
            raise UnusableVideoError(f"{self._name}: cannot be decoded ({printable(error.strerror)}).") from error
        except BaseException:
            self.close()
            raise
        self._frames = self._read()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        return self._frames

    @property
    def notes(self) -> list[str]:
        """What was changed or left out so far, in words."""
        return [*self._once, *(f"{what}: {count}" for what, count in self._counts.items())]

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self._container is not None:
            self._container.close()
        self._file.close()

    def _choose_stream(self) -> Any:
        """The video stream that players show: the first one marked as default, else the first; never cover art."""
        streams = [
            stream
            for stream in self._container.streams.video
            if not int(stream.disposition) & (_ATTACHED_PICTURE | _THUMBNAILS) and stream.codec_context is not None
        ]
        if not streams:
            raise UnusableVideoError(f"{self._name}: holds no video stream that can be decoded.")
        chosen = next((stream for stream in streams if int(stream.disposition) & _DEFAULT), streams[0])
        width, height = chosen.codec_context.width, chosen.codec_context.height
        if width * height > MAX_PIXELS:
            raise UnusableVideoError(f"{self._name}: frames of {width} x {height} pixels, more than {MAX_PIXELS // 10**6} megapixels.")
        if len(streams) > 1:
            self._once.append(f"only one of {len(streams)} video streams was used")
        return chosen

    def _open_decoder(self) -> Any:
        """The decoder of the chosen stream, on all cores, refusing frames above the limit."""
        decoder = self._stream.codec_context
        if self._stream.metadata.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
            decoder = self._av.CodecContext.create(_ALPHA_DECODERS[decoder.name], "r")
        decoder.options = {"max_pixels": str(MAX_PIXELS)}
        decoder.thread_type = "AUTO"
        return decoder

    def _decode(self) -> Iterator[Any]:
        """Decoded frames in the order of presentation; what cannot be decoded is counted."""
        packets = self._container.demux(self._stream)
        # AVI only says when a packet is decoded, and frames come out in another order: the n-th one shown gets the n-th time.
        times: deque[int | None] | None = deque() if self._container.format.name == "avi" else None
        while True:
            try:
                packet = next(packets, None)
            except (self._av.error.FFmpegError, OSError) as error:
                self._once.append(f"the file is damaged and was read up to there ({printable(error.strerror)})")
                packet = None
            if packet is not None and packet.size == 0:  # "show the last frame again", or the mark of the end
                continue
            if times is not None and packet is not None:
                times.append(packet.dts)
            try:
                frames = self._decoder.decode(packet)
            except (self._av.error.FFmpegError, OSError):
                self._counts["damaged packets that were left out"] += 1
                frames = []
                if times:
                    times.popleft()
            for frame in frames:
                if times is not None:
                    frame.pts = times.popleft() if times else None
                yield frame
            if packet is None:
                return

    def _describe(self, first: Any) -> None:
        """Fill the attributes from the stream and its first frame."""
        if first is None:
            limit = f"frames above {MAX_PIXELS // 10**6} megapixels are refused"
            raise UnusableVideoError(f"{self._name}: holds no frame that can be decoded ({limit}).")
        stream, container = self._stream, self._container
        self.time_base = Fraction(stream.time_base)
        rate = _measured_rate(self._path, stream.index) or stream.average_rate or stream.guessed_rate
        self.frame_rate = Fraction(rate) if rate and 0 < rate <= 1000 else Fraction(25)
        self._converter = FrameConverter(first, self.time_base)
        if not self._converter.upright:
            self._once.append("is turned by an angle that is no multiple of 90 degrees; it was read as stored")
        self.width, self.height = self._converter.width, self._converter.height
        self.color = output_tags(first)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        aspect = aspect if Fraction(1, 100) < aspect < 100 else Fraction(1)
        self.sample_aspect_ratio = 1 / aspect if self._converter.transposed else aspect
        seconds = stream.duration * self.time_base if stream.duration else Fraction(container.duration or 0, 10**6)
        self.seconds = float(seconds) if seconds > 0 else None
        self.num_frames = stream.frames or (round(seconds * self.frame_rate) if seconds > 0 else None)
        self.has_audio = bool(container.streams.audio)
        self._first = first
        start = _stamp(first) or 0
        if container.format.flags & self._av.format.Flags.ts_discont.value and container.start_time is not None:
            start = min(start, round(Fraction(container.start_time, 10**6) / self.time_base))
            self._shift = -start
        else:
            self._shift = max(0, -start)
        self.time_shift = self._shift * self.time_base

    def _read(self) -> Iterator[VideoFrame]:
        """Stamp, convert, hand out."""
        durations: dict[int, int] = {}  # of the frames inside the converter
        try:
            for frame in self._stamped():
                durations[frame.pts] = frame.duration or 0
                for pts, image in self._converter.convert(frame):
                    yield VideoFrame(image, pts, durations.pop(pts, 0))
            for pts, image in self._converter.flush():
                yield VideoFrame(image, pts, durations.pop(pts, 0))
        except self._av.error.FFmpegError as error:
            raise UnusableVideoError(f"{self._name}: colors cannot be converted ({printable(error.strerror)}).") from error
        if self._converter.tone_mapped:
            self._once.append("HDR or wide colors were converted to the standard range of BT.709")
        if self._converter.resized:
            self._counts["frames of another size, scaled to the first one's"] = self._converter.resized

    def _stamped(self) -> Iterator[Any]:
        """Decoded frames with strictly increasing time stamps from 0 on."""
        step = max(1, round(1 / (self.frame_rate * self.time_base)))
        last: int | None = None
        frame, self._first = self._first, None
        while frame is not None:
            stamp = _stamp(frame)
            pts = (0 if last is None else last + step) if stamp is None else stamp + self._shift
            if last is not None and pts < last - _LARGEST_STEP_BACK / self.time_base:
                self._counts["places where the clock started again, joined on"] += 1
                self._shift += last + step - pts
                pts = last + step
            if frame.is_corrupt:
                self._counts["damaged frames that were kept"] += 1
            if last is not None and pts <= last:
                self._counts["frames left out because their time stamp was another's"] += 1
            else:
                frame.pts = last = max(pts, 0)
                yield frame
            frame = next(self._decoded, None)


def _stamp(frame: Any) -> int | None:
    """A decoded frame's time of presentation, or of decoding where that is all the file has."""
    return frame.pts if frame.pts is not None else frame.dts


def _measured_rate(path: str | os.PathLike[str], index: int) -> Fraction | None:
    """Frames per second over the first packets; what files say of themselves is often the fineness of their clock (1000 in WebM)."""
    times: list[Fraction] = []
    decoding = None
    with open_container(open_video_file(path), printable(path)) as container:
        try:
            for packet in container.demux(container.streams[index]):
                if packet.pts is not None:
                    times.append(packet.pts * packet.time_base)
                starts_again = None not in (decoding, packet.dts) and packet.dts < decoding
                if len(times) == 300 or starts_again:
                    times = times[:-1] if starts_again else times
                    break
                decoding = packet.dts
        except (load_av().error.FFmpegError, OSError):
            pass  # as far as it could be read
    span = max(times) - min(times) if times else 0
    return ((len(times) - 1) / Fraction(span)).limit_denominator(1001) if len(times) >= 10 and span > 0 else None


def open_container(file: IO[bytes], name: str) -> Any:
    """An opened regular file as libav's container; only formats of the list, which hold everything in one file."""
    av = load_av()
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "max_pixels": str(MAX_PIXELS)}
    try:
        return av.open(file, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:  # OSError: a damaged header sends the reader before the file's start
        reason = printable(getattr(error, "strerror", None) or error)
        raise UnusableVideoError(f"{name}: is not a video that can be read (MP4, MOV, MKV, WebM, AVI, MPEG, ...): {reason}.") from error


def open_video_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file that is not empty; UnusableVideoError for anything else."""
    name = printable(path)
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnusableVideoError(f"{name}: cannot be opened ({printable(reason)}).") from error
    try:
        info = os.fstat(descriptor)
        if stat.S_ISDIR(info.st_mode):
            raise UnusableVideoError(f"{name}: is a folder.")
        if not stat.S_ISREG(info.st_mode):
            raise UnusableVideoError(f"{name}: is not a regular file.")
        if info.st_size == 0:
            raise UnusableVideoError(f"{name}: is empty.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
