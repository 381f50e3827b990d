"""Frames in, anonymized frames out, a moment later: the look-ahead that lets gaps be filled and new faces be followed back.

Frames wait in a buffer while later ones are analyzed; when nothing that comes can change a frame any more, it is rendered on worker
threads and handed out in order.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.anonymizer import Anonymizer
from ..core.detection_tiles import LEVEL_STEP
from ..core.faces import FaceReport, area_of
from ..core.opencv import cv2
from ..core.options import AnonymizeOptions
from ..core.threads import single_threaded_pool
from .gap_filling import Presence, Shown
from .reidentification import People
from .tracking import FaceTracker

# Seconds between two searches; a face that comes and goes in between is not seen. The smallest faces, in the finest tiles, are looked for
# once in a look-ahead: whatever is found then is followed back through all the frames that are still waiting.
SEARCH_INTERVAL = 0.25
# Seconds that a frame waits for what comes: the longest gap that is filled.
LOOK_AHEAD = 1.0
# The buffer holds at most so many bytes of pictures: with very large frames it looks less far ahead.
MAX_BUFFER = 800_000_000
# A new scene: two frames' thumbnails differ by so many levels on average, and have so little to do with each other.
CUT_DIFFERENCE, CUT_CORRELATION = 10.0, 0.6


@dataclass(frozen=True, eq=False)
class FrameFace:
    """What was done with one face of a frame.

    Attributes:
        person: number of the synthetic person; the same one throughout the video.
        track: number of the stretch of frames in which the face was followed.
        kind: ``"seen"``, ``"filled"`` in a gap between two frames where it was seen, or ``"held"`` before and after it was.
        report: box, score, ``"replaced"`` or ``"covered"``, and the reason.
    """

    person: int
    track: int
    kind: str
    report: FaceReport


@dataclass(frozen=True, eq=False)
class AnonymizedFrame:
    """One frame that may be shown.

    Attributes:
        index: its number in the stream, from 0.
        image: (height, width, 3) uint8 RGB.
        faces: one entry per face.
    """

    index: int
    image: np.ndarray
    faces: tuple[FrameFace, ...]


class FrameStream:
    """The machine behind :func:`anonymize_frames`; its state can be kept and restored, so that a killed run goes on with equal results.

    Args:
        anonymizer: the engine.
        options: see :func:`anonymize_frames`.
        frame_rate: frames per second.
        look_ahead: seconds.
        workers: threads that render; None takes one per core.
        snapshot_every: keep a snapshot of the state about every so many frames, see :meth:`snapshot`; 0 keeps none.

    Raises:
        ValueError: options or numbers that cannot be.
    """

    def __init__(
        self,
        anonymizer: Anonymizer,
        options: AnonymizeOptions,
        *,
        frame_rate: float,
        look_ahead: float = LOOK_AHEAD,
        workers: int | None = None,
        snapshot_every: int = 0,
    ) -> None:
        if not 0.1 <= frame_rate <= 1000:
            raise ValueError(f"frame_rate must be 0.1 to 1000 frames per second, but got {frame_rate!r}.")
        if not 0 <= look_ahead <= 10:
            raise ValueError(f"look_ahead must be 0 to 10 seconds, but got {look_ahead!r}.")
        if options.output != "photo":
            raise ValueError(f"frames are anonymized with output='photo', but got {options.output!r}.")
        self._anonymizer = anonymizer
        self._seed = secrets.randbits(62) if options.seed is None else int(options.seed)
        self._options = replace(options, seed=self._seed, on_no_face="keep")
        self._tracker = FaceTracker(
            anonymizer.detector, frame_rate=frame_rate, min_face_size=options.min_face_size, min_score=options.min_score
        )
        self._rate, self._look_ahead = frame_rate, look_ahead
        self._presence = Presence(frame_rate, small=1.5 * LEVEL_STEP * options.min_face_size)
        self._people = People(anonymizer.shape_model)
        self._workers = workers or os.cpu_count() or 1
        self._snapshot_every, self._snapshots = snapshot_every, dict[int, dict[str, Any]]()
        self._searches = 0  # in this scene
        self._planned = 0  # frames whose treatment is decided
        self._shape: tuple[int, ...] | None = None
        self._thumbnail: np.ndarray | None = None

    @property
    def seed(self) -> int:
        """Of the people in this stream."""
        return self._seed

    @property
    def planned(self) -> int:
        """Number of the first frame that is still undecided; the one that ``frames`` must begin with."""
        return self._planned

    def run(self, frames: Iterable[np.ndarray]) -> Iterator[AnonymizedFrame]:
        """Anonymize frames, beginning with number :attr:`planned`; see :func:`anonymize_frames`."""
        waiting: deque[np.ndarray] = deque()  # frames from self._planned on
        rendering: deque[Future[AnonymizedFrame]] = deque()
        chunk: list[np.ndarray] = []
        # frames side by side, each computed by one thread: faster, and sums are rounded alike whatever the number of cores
        # The products of matrices in between are small: numpy's threads would wait for them by spinning, a sixth of the processor's time.
        with threadpool_limits(1, user_api="blas"), single_threaded_pool(self._workers, "ganon-frames") as pool:
            try:
                for frame in frames:
                    image = self._checked(frame)
                    index, cut = self._planned + len(waiting), self._is_cut(image)
                    if index >= self._tracker.seen:  # after a restart the first frames have been analyzed before
                        # a chunk waits for the frame after it, which says whether it was the last of a scene
                        if chunk and (cut or len(chunk) == self._interval):
                            self._analyze(chunk, waiting, last=cut)
                            chunk = []
                        if not chunk:
                            yield from self._decide(self._tracker.seen - self._ahead, waiting, rendering, pool)
                        if cut:
                            self._tracker.cut()
                        chunk.append(image)
                    waiting.append(image)
                    if not self._ahead:  # live: nothing waits
                        self._analyze(chunk, waiting)
                        chunk = []
                        yield from self._decide(self._tracker.seen, waiting, rendering, pool)
                if chunk:
                    self._analyze(chunk, waiting, last=True)
                while waiting:  # in small steps: nothing is gained from rendering all at once, and memory is
                    yield from self._decide(self._planned + self._interval, waiting, rendering, pool)
                yield from self._finished(rendering, 0)
            finally:
                for future in rendering:
                    future.cancel()

    def _analyze(self, chunk: Sequence[np.ndarray], waiting: Sequence[np.ndarray], *, last: bool = False) -> None:
        """Search the last frame of a chunk: for the smallest faces as often as all undecided frames can be gone back, for others always."""
        self._searches += 1
        thorough = last or self._searches % max(1, self._ahead // self._interval) == 0
        before = list(waiting)[: self._tracker.seen - self._planned]
        self._tracker.analyze(chunk, before, thorough=thorough)
        self._searches = 0 if last else self._searches

    @property
    def _ahead(self) -> int:
        """Frames that are looked ahead."""
        size = int(np.prod(self._shape)) if self._shape else 1
        return min(round(self._look_ahead * self._rate), max(0, MAX_BUFFER // size - self._interval))

    @property
    def _interval(self) -> int:
        """Frames from search to search."""
        wanted = round(min(SEARCH_INTERVAL, self._look_ahead) * self._rate) if self._tracker.can_follow else 1
        return max(1, wanted)

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        image = np.asarray(frame)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"frames must be RGB uint8 arrays (height, width, 3), but got {image.dtype} {image.shape}.")
        if self._shape not in (None, image.shape):
            raise ValueError(f"all frames must have one size, {self._shape}, but got {image.shape}.")
        self._shape = image.shape
        if image.flags.writeable:
            image = image.copy()  # callers reuse their buffers
            image.flags.writeable = False
        return image

    def _is_cut(self, image: np.ndarray) -> bool:
        """Whether a new scene begins with this frame."""
        coarse = np.ascontiguousarray(image[::4, ::4])  # the size is all that matters here
        thumbnail = cv2.cvtColor(cv2.resize(coarse, (48, 27), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        if before is None or np.abs(thumbnail - before).mean() < CUT_DIFFERENCE:
            return False
        if min(float(thumbnail.std()), float(before.std())) < 1:
            return True  # from or to a frame of one color
        return float(np.corrcoef(thumbnail.ravel(), before.ravel())[0, 1]) < CUT_CORRELATION

    def _decide(
        self, end: int, waiting: deque[np.ndarray], rendering: deque[Future[AnonymizedFrame]], pool: ThreadPoolExecutor
    ) -> Iterator[AnonymizedFrame]:
        """Decide on the waiting frames before number ``end``, have them rendered, and hand out what is ready by now."""
        if self._snapshot_every and waiting and end > self._planned:
            if self._planned - max(self._snapshots, default=0) >= self._snapshot_every:
                before = dict(list(self._snapshots.items())[-1:])  # its frame may still be under way
                self._snapshots = before | {self._planned: self._state()}
        while waiting and self._planned < end:
            shown = self._presence.shown(self._tracker.tracks, self._planned)
            shown.sort(key=lambda one: (-area_of(one.face.box), one.face.box))  # as the engine goes through them
            people = [self._people.number_of(one.track) for one in shown]
            rendering.append(pool.submit(self._render, self._planned, waiting.popleft(), shown, people))
            self._planned += 1
        self._tracker.forget_before(self._planned - round(1.1 * self._rate))  # held faces and smoothing look back less than that
        self._people.forget({track.number for track in self._tracker.tracks})
        yield from self._finished(rendering, self._interval + 2 * self._workers)

    @staticmethod
    def _finished(rendering: deque[Future[AnonymizedFrame]], limit: int) -> Iterator[AnonymizedFrame]:
        """Frames in order, as far as they are ready, and waiting for them where more than ``limit`` are under way."""
        while rendering and (len(rendering) > limit or rendering[0].done()):
            yield rendering.popleft().result()

    def _render(self, index: int, image: np.ndarray, shown: Sequence[Shown], people: Sequence[int]) -> AnonymizedFrame:
        engine = self._anonymizer
        plan = engine.plan(image, self._options, faces=[one.face for one in shown], people=people)
        picture, reports = engine.paint(plan, engine.generate(plan.inputs))
        rows = zip(shown, people, reports, strict=True)
        faces = tuple(FrameFace(person, one.track.number, one.kind, _explained(report, one)) for one, person, report in rows)
        return AnonymizedFrame(index, picture, faces)

    def snapshot(self, index: int) -> dict[str, Any] | None:
        """The state from which the frames from number ``index`` on can be made again, exactly as they are; None where none was kept.

        JSON-ready but for numpy arrays. It holds landmarks of original faces.
        """
        return self._snapshots.get(index)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot, taken by a stream with the same arguments; frames must then begin with number :attr:`planned`."""
        self._planned, self._searches = int(state["planned"]), int(state["searches"])
        self._seed = int(state["seed"])
        self._options = replace(self._options, seed=self._seed)
        self._tracker.restore(state["tracker"])
        self._people.restore(state["people"])

    def _state(self) -> dict[str, Any]:
        parts = {"tracker": self._tracker.state(), "people": self._people.state()}
        return {"planned": self._planned, "searches": self._searches, "seed": self._seed, **parts}


def _explained(report: FaceReport, shown: Shown) -> FaceReport:
    """The engine knows only that there are no landmarks; here it is known why."""
    guessed = shown.kind != "seen" and shown.face.landmarks is None
    return replace(report, reason="the face was lost in this frame") if guessed else report


def anonymize_frames(
    frames: Iterable[np.ndarray],
    options: AnonymizeOptions | None = None,
    *,
    frame_rate: float,
    look_ahead: float = LOOK_AHEAD,
    anonymizer: Anonymizer | None = None,
) -> Iterator[AnonymizedFrame]:
    """Anonymize a stream of frames: everybody gets one synthetic person and keeps it, and faces lost for a moment stay hidden.

    Args:
        frames: RGB uint8 arrays (height, width, 3), all of one size. OpenCV gives BGR: ``cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)``.
        options: ``seed`` decides the people of the whole stream, None draws it once; ``min_face_size`` decides most of the time it takes.
            ``output`` must be ``"photo"``; ``on_no_face`` has no meaning here, because frames without a face belong to a video.
        frame_rate: frames per second.
        look_ahead: seconds by which the output is late, up to 10. Shorter gaps than this can be filled. 0 is for live pictures: every frame
            is searched by itself, and where a face was lost its last place is covered for half a second.
        anonymizer: the engine; None loads the weights in the package.

    Yields:
        every frame, in order.

    Raises:
        ValueError: options or numbers that cannot be, frames of another type or of changing size.
    """
    stream = FrameStream(
        anonymizer or Anonymizer.from_pretrained(), options or AnonymizeOptions(), frame_rate=frame_rate, look_ahead=look_ahead
    )
    yield from stream.run(frames)
