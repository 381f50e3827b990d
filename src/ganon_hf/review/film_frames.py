"""Single frames of a film as pictures for a page, made in memory when they are asked for."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..image_files import printable
from ..video.colorspace import FrameConverter
from ..video.reader import UnusableVideoError, VideoReader, open_container, open_video_file
from .finished_film import FilmTrack
from .pictures import resized, to_jpeg

# Of a strip: pictures at most, the side of each in pixels, and what it shows, in sizes of the face.
STRIP_PICTURES, STRIP_SIDE, STRIP_MARGIN = 12, 72, 1.6
_EMPTY = 128  # gray where the face is not there


class FilmFrames:
    """Frames of a film that this program wrote, in any order: key frames are known, and decoding goes on where it was if it can.

    Args:
        path: of the film.

    Raises:
        UnusableVideoError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._name, self._lock = printable(path), threading.Lock()
        self._file = open_video_file(path)
        self._container = open_container(self._file, self._name)
        self._stream = self._container.streams.video[0]
        packets = sorted((one.pts, one.is_keyframe) for one in self._container.demux(self._stream) if one.pts is not None)
        self._times = [time for time, _ in packets]
        self._keys = [number for number, (_, key) in enumerate(packets) if key]
        self._decoded: Iterator[Any] = iter(())
        self._next = -1  # number of the frame that is decoded next; below 0 where nothing has been
        self._converter: FrameConverter | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._times)

    def seconds(self, number: int) -> float:
        """When a frame is shown, from the start of the film."""
        return float((self._times[number] - self._times[0]) * self._stream.time_base)

    def key_near(self, number: int, first: int, last: int) -> int:
        """The key frame nearest to a frame within a range, which is decoded at once; the frame itself where there is none."""
        keys = self._keys[bisect.bisect_left(self._keys, first) : bisect.bisect_right(self._keys, last)]
        return min(keys, key=lambda key: abs(key - number), default=number)

    def image(self, number: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB of a frame.

        Raises:
            IndexError: there is no such frame.
            UnusableVideoError: it cannot be decoded, or the file was closed: a page may still ask while the server ends.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"there is no frame {number}.")
        with self._lock:
            if self._closed:  # FFmpeg would read memory that it has given back
                raise UnusableVideoError(f"{self._name} is closed.")
            key = self._keys[max(0, bisect.bisect_right(self._keys, number) - 1)] if self._keys else 0
            if not key <= self._next <= number:
                self._container.seek(self._times[key], stream=self._stream)
                self._decoded, self._next = self._container.decode(self._stream), key
            for frame in self._decoded:
                self._next = bisect.bisect_right(self._times, frame.pts)
                if frame.pts >= self._times[number]:
                    return self._rgb(frame)
            self._next = -1
        raise UnusableVideoError(f"{self._name}: frame {number} cannot be decoded.")

    def _rgb(self, frame: Any) -> np.ndarray:
        if self._converter is None:
            self._converter = FrameConverter(frame, self._stream.time_base)
        ((_, image),) = [*self._converter.convert(frame), *self._converter.flush()]
        return image

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed, self._decoded = True, iter(())
            self._container.close()
            self._file.close()


class OriginalFrames:
    """Frames of the original, exactly those that were anonymized; each is read from the start of the film, or from the one before."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._reader: VideoReader | None = None
        self._next = 0

    def image(self, number: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB, upright; UnusableVideoError where it cannot be read."""
        with self._lock:
            if self._reader is None or number < self._next:
                self._close()
                self._reader, self._next = VideoReader(self._path), 0
            for frame in self._reader:
                self._next += 1
                if self._next > number:
                    return frame.image
        raise UnusableVideoError(f"{printable(self._path)} has no frame {number}: it has changed since.")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def strip_of(track: FilmTrack, frames: FilmFrames) -> bytes:
    """A track's face over time: small pictures side by side in a JPEG file, gray where it is not there."""
    first, last = int(track.frames[0]), int(track.frames[-1])
    count = min(STRIP_PICTURES, last - first + 1)
    strip = np.full((STRIP_SIDE, count * STRIP_SIDE, 3), _EMPTY, np.uint8)
    edges = np.linspace(first, last + 1, count + 1)
    for place, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        number = frames.key_near(int((low + high) / 2), int(np.ceil(low)), int(np.ceil(high)) - 1)
        at = track.at(number)
        if at is not None:
            cut = _cut_out(frames.image(number), track.boxes[at])
            strip[:, place * STRIP_SIDE : (place + 1) * STRIP_SIDE] = resized(cut, (STRIP_SIDE, STRIP_SIDE))
    return to_jpeg(strip)


def _cut_out(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """A square around a face, moved into the frame, or smaller where that is too small."""
    height, width = image.shape[:2]
    side = max(2, min(height, width, round(STRIP_MARGIN * max(box[2] - box[0], box[3] - box[1]))))
    left = int(np.clip((box[0] + box[2] - side) / 2, 0, width - side))
    top = int(np.clip((box[1] + box[3] - side) / 2, 0, height - side))
    return image[top : top + side, left : left + side]
