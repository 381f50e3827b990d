"""The Space's tab for videos, seen through a browser and through its API. The film is a slow pan over NASA's portrait, with sound."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from clips import opened, picture, write_clip, write_clip_with_sound
from PIL import Image
from space_browser import EXAMPLES, Site, Visitor

SIDE, FRAMES = 320, 30
FACE = (slice(70, 145), slice(115, 185))  # of the first frame: well inside the face
AWAY = (slice(230, 320), slice(0, 320))  # the space suit
# Plays as a visitor would see it, and says what came of it.
PLAY = """async () => {
    const video = document.querySelector('#video-result video');
    video.muted = true;
    const error = await video.play().then(() => null, problem => String(problem));
    const end = Date.now() + 20000;
    while (video.currentTime < 0.6 && Date.now() < end) await new Promise(done => setTimeout(done, 50));
    return {error: error || (video.error && video.error.message), time: video.currentTime, width: video.videoWidth,
            height: video.videoHeight, seconds: video.duration, sound: video.webkitAudioDecodedByteCount};
}"""


def frames_of(path: Path | str) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def difference(first: np.ndarray, second: np.ndarray, place: tuple[slice, slice]) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(first[place].astype(float) - second[place].astype(float)).mean())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Image.open(EXAMPLES / "portrait.jpg") as image:
        wide = np.asarray(image.convert("RGB").resize((340, 340)))
    images = [wide[:SIDE, round(20 * i / FRAMES) :][:, :SIDE] for i in range(FRAMES)]
    return write_clip_with_sound(tmp_path_factory.mktemp("film") / "me.mp4", images)


def ask(visitor: Visitor, path: Path) -> str:
    visitor.open_tab("Video")
    visitor.upload(path, "#video")
    visitor.page.wait_for_selector("#video video", state="attached")
    visitor.page.click("#anonymize-video")
    return visitor.said("#said-video")


def test_a_video_plays_in_the_browser_and_shows_somebody_else(visitor: Visitor, site: Site, film: Path, tmp_path: Path) -> None:
    visitor.open_tab("Video")
    visitor.set_seed(4, "video")
    said = ask(visitor, film)
    assert said.startswith(
        f"{FRAMES} frames, 1 person, {FRAMES} faces replaced. Seed 4. The sound was removed, because a voice identifies."
    )
    rows = visitor.page.locator("#people tbody tr")
    assert rows.count() == 1 and rows.locator("td").all_inner_texts()[2] == str(FRAMES)
    visitor.page.wait_for_selector("#video-result video[src]", state="attached")
    played = visitor.page.evaluate(PLAY)
    assert played["error"] is None and played["time"] >= 0.6, played
    assert (played["width"], played["height"]) == (SIDE, SIDE) and abs(played["seconds"] - FRAMES / 25) < 0.1 and not played["sound"]
    out = tmp_path / "out.mp4"
    out.write_bytes(visitor.bytes_of(visitor.page.locator("#video-result video").get_attribute("src")))
    with av.open(str(out)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264"]
    before, after = frames_of(film), frames_of(out)
    assert len(after) == FRAMES
    for first, second in zip(before, after, strict=True):
        away = difference(first, second, AWAY)  # what encoding costs
        assert difference(first, second, FACE) > max(6, 3 * away) and away < 4
    assert all(address.startswith((site.url, "data:", "blob:")) for address in visitor.requests), "nothing is loaded from elsewhere"
    assert not visitor.errors, "the page's scripts get what they load"
    visitor.shoot("video")


@pytest.fixture(scope="module")
def unusable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("unusable")
    (folder / "text.mp4").write_text("This is no video.")
    write_clip(folder / "noface.mp4", [picture(i, height=120, width=160) for i in range(5)])
    write_clip(folder / "long.mp4", [picture(0)] * 3, pts=[0, 1, 25 * 14])
    write_clip(folder / "large.mp4", [np.zeros((1200, 1920, 3), np.uint8)])
    with opened(folder / "sound.mp4") as container:  # a film without pictures
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "This file cannot be used as a video: it is not a video that can be read"),
        ("noface", "No face was found in this video, so nothing was changed and nothing is shown."),
        ("long", "This video lasts 14.0 seconds"),
        ("large", "This video has 1920 x 1200 pixels. At most 2,073,600"),
        ("sound", "it holds no video stream"),
    ],
)
def test_what_cannot_be_anonymized_is_said_and_not_shown(visitor: Visitor, unusable: dict[str, Path], name: str, words: str) -> None:
    said = ask(visitor, unusable[name])
    assert words in said and "/" not in said, said
    assert visitor.page.locator("#said-video [role=alert]").count() == 1
    assert visitor.page.locator("#video-result video").count() == 0 and visitor.page.locator("#people table").count() == 0
    if name == "text":
        visitor.shoot("no-video")


def test_the_api(site: Site, film: Path, unusable: dict[str, Path], tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(site.url, verbose=False, download_files=str(tmp_path))
    parameters = client.view_api(return_format="dict")["named_endpoints"]["/anonymize_video"]["parameters"]
    names = ["video", "seed", "geometry", "privacy", "skin_tone", "look", "cover", "keep_occluders", "min_face_size"]
    assert [one["parameter_name"] for one in parameters] == names
    video, account = client.predict(handle_file(str(film)), seed=4, api_name="/anonymize_video")
    assert len(frames_of(video)) == FRAMES
    assert account["seed"] == 4 and account["frames"] == FRAMES and account["tracks"][0]["replaced"] == FRAMES
    assert not re.search(r"/tmp|/home|ganon-space", str(account))
    with pytest.raises(Exception, match="cannot be used as a video"):
        client.predict(handle_file(str(unusable["text"])), api_name="/anonymize_video")
