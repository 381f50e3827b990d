"""Decoded pictures -> upright 8-bit RGB: deinterlacing, color, tone mapping, size, orientation, transparency.

Everything that a decoder may hand out (4:2:0 to 4:4:4, 8 to 16 bits, gray, limited and full range, BT.601/709/2020, PQ, HLG, alpha,
interlaced) goes through one libavfilter graph. The color arithmetic is libswscale's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

# Numbers of ITU-T H.273, which files and libav share. 2 = unspecified.
UNSPECIFIED = 2
_MATRIX_RGB, _MATRIX_709, _MATRIX_601 = 0, 1, 6
_MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_TRANSFER_PQ, _TRANSFER_HLG = 16, 18
_PRIMARIES_2020 = 9
_LIMITED, _FULL = 1, 2  # ranges
# Rounded exactly and with interpolated color: on average the faster paths are 1 to 2 of 255 too dark.
_FLAGS = "flags=bilinear+accurate_rnd+full_chroma_int"
# From 16-bit RGB: together with the flags above, swscale 9 turns 4:2:0 of 10 bits purple.
_TO_709 = (("format", "gbrap16le|gbrp16le"), ("scale", "flags=bilinear:out_transfer=bt709:out_primaries=bt709:intent=perceptual"))

# Signs of the display matrix (a, b, c, d) with x' = a x + c y, y' = b x + d y, and the filters that do the same.
_TURNS: dict[tuple[int, int, int, int], tuple[tuple[str, str], ...]] = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


def load_av() -> Any:
    """PyAV, or an ImportError that says how to get it."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Videos need PyAV: pip install 'ganon-hf[video]'.") from error
    return av


@dataclass(frozen=True)
class ColorTags:
    """How a file says its colors are meant, in the numbers of ITU-T H.273 (2 = unspecified).

    Attributes:
        matrix: RGB -> YCbCr, 1 (BT.709), 5 or 6 (BT.601).
        primaries: of the RGB pixels.
        transfer: of the RGB pixels.
    """

    matrix: int = _MATRIX_709
    primaries: int = 1
    transfer: int = 1

    def __post_init__(self) -> None:
        if self.matrix not in (1, 5, 6):
            raise ValueError(f"matrix must be 1 (BT.709), 5 or 6 (BT.601), but got {self.matrix!r}.")
        for name in ("primaries", "transfer"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 22:
                raise ValueError(f"{name} must be a number of ITU-T H.273 from 1 to 22, but got {value!r}.")


def default_matrix(*, height: int, width: int) -> int:
    """The matrix that players assume where a file names none: BT.709 from 720 lines or 1280 columns on, BT.601 below."""
    return _MATRIX_709 if height >= 720 or width >= 1280 else _MATRIX_601


class FrameConverter:
    """Turns the decoded frames of one stream into RGB pictures of one size.

    Args:
        first: the first decoded frame; it sets size and orientation for all.
        time_base: of the frames' time stamps.
    """

    def __init__(self, first: Any, time_base: Fraction) -> None:
        self._av = load_av()
        self._time_base = time_base
        self._coded = (first.width, first.height)
        turn = _orientation(first)
        self.upright = turn is not None
        self._turn = turn or ()
        self.transposed = any(name == "transpose" for name, _ in self._turn)
        self.width, self.height = reversed(self._coded) if self.transposed else self._coded
        self._key: tuple[object, ...] = ()
        self._graph: Any = None
        self._interlaced = False
        self.tone_mapped = wide_gamut(first)
        self.resized = 0

    def convert(self, frame: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (pts, RGB picture) of every frame that is finished; deinterlacing needs one frame of look-ahead.

        ``frame.pts`` must be set. Raises the errors of libav where a format cannot be converted.
        """
        self._interlaced |= frame.interlaced_frame
        self.resized += (frame.width, frame.height) != self._coded
        wide = wide_gamut(frame)
        self.tone_mapped |= wide
        frame.time_base = self._time_base
        frame.colorspace, frame.color_range = _matrix(frame), _range(frame)
        if not wide:  # swscale converts between what is tagged and refuses odd tags; without tags it leaves colors alone
            frame.color_primaries = frame.color_trc = UNSPECIFIED
        elif frame.color_primaries == UNSPECIFIED:
            frame.color_primaries = _PRIMARIES_2020
        shape = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        key = (*shape, frame.color_primaries, frame.color_trc, self._interlaced)
        if key != self._key:
            yield from self.flush()
            self._graph, self._key = self._build(frame, wide), key
        self._graph.push(frame)
        yield from self._finished()

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what is still inside, at the end of the stream."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._finished()
            self._graph, self._key = None, ()

    def _build(self, frame: Any, wide: bool) -> Any:
        """The chain of filters for frames like this one."""
        source = {
            "video_size": f"{frame.width}x{frame.height}",
            "pix_fmt": frame.format.name,
            "time_base": str(self._time_base),
            "pixel_aspect": "1/1",
            "colorspace": str(int(frame.colorspace)),
            "range": str(int(frame.color_range)),
        }
        alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        gray = len(frame.format.components) < 3 and not frame.format.has_palette and not frame.format.is_rgb
        # swscale takes all gray for full range; so it becomes color, unchanged, and is then called what it is.
        as_color = [("scale", "out_range=full"), ("format", "yuva444p16le" if alpha else "yuv444p16le"), ("setrange", "limited")]
        chain = [
            *([("bwdif", "mode=send_frame:parity=auto:deint=interlaced")] if self._interlaced else []),
            *(as_color if gray and frame.color_range == _LIMITED else []),
            ("scale", f"w={self._coded[0]}:h={self._coded[1]}:out_range=full:{_FLAGS}"),
            *(_TO_709 if wide else []),
            ("format", "rgba" if alpha else "rgb24"),
            *self._turn,
        ]
        graph = self._av.filter.Graph()
        nodes = [graph.add("buffer", **source), *(graph.add(name, arguments or None) for name, arguments in chain)]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph

    def _finished(self) -> Iterator[tuple[int, np.ndarray]]:
        """Pull until the graph wants more."""
        while True:
            try:
                frame = self._graph.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
            pts = frame.pts * frame.time_base / self._time_base  # deinterlacing halves the time base
            image = frame.to_ndarray()
            yield round(pts), over_black(image) if image.shape[2] == 4 else image


def over_black(rgba: np.ndarray) -> np.ndarray:
    """(height, width, 4) uint8 -> (height, width, 3) uint8 over black, so that nothing hidden by transparency comes out."""
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)


def output_tags(frame: Any) -> ColorTags:
    """The tags that fit the RGB pixels made from a decoded frame."""
    if wide_gamut(frame):
        return ColorTags()
    matrix = int(frame.colorspace)
    if matrix not in (1, 5, 6):
        matrix = default_matrix(height=frame.height, width=frame.width)
    tags = [int(value) if 1 <= int(value) <= 22 else UNSPECIFIED for value in (frame.color_primaries, frame.color_trc)]
    return ColorTags(matrix, *tags)


def wide_gamut(frame: Any) -> bool:
    """Whether a frame must be mapped to BT.709: HDR (PQ, HLG) or the primaries of BT.2020."""
    return int(frame.color_trc) in (_TRANSFER_PQ, _TRANSFER_HLG) or int(frame.color_primaries) == _PRIMARIES_2020


def _matrix(frame: Any) -> int:
    """The matrix to decode a frame with: its own, or what players assume."""
    if frame.format.is_rgb or frame.format.has_palette:
        return _MATRIX_RGB
    if int(frame.colorspace) in _MATRIX_NAMES:
        return int(frame.colorspace)
    return _PRIMARIES_2020 if wide_gamut(frame) else default_matrix(height=frame.height, width=frame.width)


def _range(frame: Any) -> int:
    """Full or limited range; where a file does not say, RGB and gray are full and YCbCr is limited."""
    if int(frame.color_range) in (_LIMITED, _FULL):
        return int(frame.color_range)
    format = frame.format
    return _FULL if format.is_rgb or format.has_palette or len(format.components) < 3 or format.name.startswith("yuvj") else _LIMITED


def _orientation(frame: Any) -> tuple[tuple[str, str], ...] | None:
    """The filters that turn a frame upright; None for a turn that is no multiple of 90 degrees."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know some kinds of side data and then cannot list any; mirrored pictures are lost here
        degrees = round(frame.rotation / 90) % 4
        return _TURNS[((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[degrees]]
    if data is None:
        return ()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    largest = max(map(abs, (a, b, c, d)))
    signs = tuple((value > 0) - (value < 0) if abs(value) > largest / 1000 else 0 for value in (a, b, c, d))
    return _TURNS.get(signs)  # type: ignore[arg-type]
