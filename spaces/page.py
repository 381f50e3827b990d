"""The page: tabs, texts, events. What happens when something is clicked is in ``app.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

import parts
import work
import work_video

if TYPE_CHECKING:
    from app import App

QUEUE = 32
AT_ONCE = 2  # a free Space has two cores
VIDEOS_AT_ONCE = 8  # threads: one works, some wait, the others are refused
CSS = (work.HERE / "page.css").read_text(encoding="utf-8")
# Into the page's head: Gradio's footer is out of reach of CSS, and on phones it would begin with a lonely dot.
HEAD = f"""<style>@media (max-width: 640px) {{ footer > div {{ display: none !important; }} }}</style>
<script>{(work.HERE / "browser.js").read_text(encoding="utf-8")}</script>"""

HEADER = """<h1>Every face becomes a synthetic one</h1>
<p>Expression, gaze and head pose stay, but the face belongs to nobody. This makes recognition harder, but <strong>does not guarantee
anonymity</strong>: hair, the outline of the head, clothes and location stay. Only upload images that you are allowed to use. They are
deleted from this server within a minute.</p>"""
PRIVACY = """## How private is it?

Attackers with a gallery of original photos try to identify the person in an anonymized photo: face recognizers, and an attacker that
only compares facial landmarks. The table shows how often they name the right person first (95 % interval), measured with the weights
that run here. “Linked”: two anonymized photos of the same person are matched to each other. Blur and a solid cover on the same photos
are shown for comparison."""
SEEN = """## What the generator sees

Never a pixel of the face: only the positions of 478 landmarks. Even those can identify people, so by default their shape is replaced
with that of a synthetic person."""
VIDEO = f"""At most {work_video.MAX_SECONDS} seconds, {work_video.MAX_FRAMES} frames, 1920 x 1080 pixels and 20 MB. Everybody keeps one
synthetic person. **The sound is removed, because voices identify people.** Download the result within a minute; after that, it is
deleted."""
PHOTOS = "Photos in which no face is found are left out. Download the results within a minute; after that, they are deleted."
WEBCAM = """Every frame is anonymized on this server and not stored. A frame in which no face is found is not shown.
A session lasts one minute."""
# Drawn by the browser: the server's answer could arrive after somebody has typed a seed.
NEW_SEED = "() => Math.floor(Math.random() * 2 ** 31)"
NEW_SEEDS = "() => Array.from({ length: %d }, () => Math.floor(Math.random() * 2 ** 31))"
WITH_PHOTO = "(...values) => window.ganonSpace.withPhoto(...values)"


def build(app: App, *, delete_cache: tuple[int, int]) -> gr.Blocks:
    """The page around the functions of ``app``; ``delete_cache`` as for ``gradio.Blocks``."""
    with gr.Blocks(title="ganon-hf: every face becomes a synthetic one", analytics_enabled=False, delete_cache=delete_cache) as page:
        gr.HTML(HEADER + parts.links(), js_on_load=parts.OPEN_API, elem_id="header")
        with gr.Tab("Photo"):
            photo = _photo_tab(app)
        with gr.Tab("Several photos"):
            photos = _photos_tab(app)
        with gr.Tab("Video"):
            video = _video_tab(app)
        with gr.Tab("Webcam"):
            webcam = _webcam_tab(app)
        with gr.Tab("How private is it"):
            _private_tab(app, photo)
        seeds = [options.seed for options in (photo, photos, video, webcam)]
        page.load(None, outputs=seeds, js=NEW_SEEDS % len(seeds), api_visibility="private")  # every visitor starts with other people
        _api(app)
    return page.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE, api_open=False)


def _photo_tab(app: App) -> parts.Options:
    with gr.Row():
        with gr.Column(min_width=280):
            photo = parts.photo_input(label="Your photo", elem_id="photo", height=300)
            examples = parts.examples("photo")
            options = parts.options("photo")
            with gr.Row():
                again = gr.Button("Anonymize", variant="primary", elem_id="anonymize", min_width=120)
                others = gr.Button("New people", elem_id="new-people", min_width=120)
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said")
            slider = gr.ImageSlider(
                label="Before and after: drag the handle",
                interactive=False,
                format="jpeg",
                elem_id="slider",
                max_height=480,
                buttons=["fullscreen"],
            )
            with gr.Column(visible=False) as tools:
                handle = gr.Slider(
                    0, 100, value=50, step=5, label="Keyboard control for the handle: % of the original shown", elem_id="handle"
                )
                with gr.Row():
                    download = gr.Button("Download", elem_id="download", min_width=120)
                    share = gr.Button("Share", elem_id="share", min_width=120)
    faces = gr.HTML(js_on_load=parts.CLICKED % "choice", elem_id="faces")
    decided = gr.JSON(visible=False)  # by the visitor, about single faces: the browser keeps it and sends it along
    event: dict[str, Any] = {
        "outputs": [slider, faces, said, decided, tools],
        "inputs_kwargs": options.inputs,
        "show_progress_on": slider,
        "api_visibility": "private",
        "concurrency_id": "engine",
        "concurrency_limit": AT_ONCE,
    }
    private: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    examples.select(app.example, None, [photo], **private)
    photo.change(None, [photo], None, js="photo => window.ganonSpace.holdPhoto(photo)", **private)
    photo.change(app.photo, [photo], **event)
    again.click(app.again, [photo, decided], js=WITH_PHOTO, **event)
    others.click(None, None, [options.seed], js=NEW_SEED, api_visibility="private").then(
        app.new_people, [photo, decided], js=WITH_PHOTO, **event
    )
    faces.select(app.decide, [photo, decided], js=WITH_PHOTO, **event)
    slider.change(None, [slider], None, js="pair => window.ganonSpace.holdResult(pair)", **private)
    handle.input(lambda share: gr.update(slider_position=share), [handle], [slider], **private)
    download.click(None, None, None, js="() => window.ganonSpace.download()", **private)
    share.click(None, None, None, js="() => window.ganonSpace.share()", **private)
    return options


def _photos_tab(app: App) -> parts.Options:
    gr.Markdown(PHOTOS)
    with gr.Row():
        with gr.Column(min_width=280):
            files = gr.File(
                file_count="multiple",
                file_types=["image"],
                type="filepath",
                label=f"Photos, at most {work.MAX_PHOTOS}",
                elem_id="photos",
                height=220,
            )
            options = parts.options("photos")
            button = gr.Button("Anonymize all", variant="primary", elem_id="anonymize-all")
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said-many")
            gallery = gr.Gallery(
                label="Anonymized photos",
                columns=2,
                object_fit="contain",
                height="auto",
                format="jpeg",
                interactive=False,
                buttons=["download", "fullscreen"],
                elem_id="gallery",
            )
            archive = gr.File(label="All photos as a ZIP file", interactive=False, elem_id="zip", height=90)
    button.click(
        app.photos,
        [files],
        [gallery, archive, said],
        inputs_kwargs=options.inputs,
        show_progress_on=gallery,
        api_visibility="private",
        concurrency_id="engine",
        concurrency_limit=AT_ONCE,
    )
    return options


def _video_tab(app: App) -> parts.Options:
    gr.Markdown(VIDEO)
    with gr.Row():
        with gr.Column(min_width=280):
            upload = parts.video_input(label="Your video", elem_id="video", height=300)
            options = parts.options("video", without=("output",))  # a video is always given back whole
            button = gr.Button("Anonymize the video", variant="primary", elem_id="anonymize-video")
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said-video")
            result = gr.Video(
                label="Anonymized video, without sound", interactive=False, buttons=["download"], elem_id="video-result", height=300
            )
            people = gr.HTML(elem_id="people")
    button.click(
        app.video,
        [upload],
        [result, people, said],
        inputs_kwargs=options.inputs,
        show_progress_on=result,
        api_visibility="private",
        concurrency_id="video",
        concurrency_limit=VIDEOS_AT_ONCE,
    )
    return options


def _webcam_tab(app: App) -> parts.Options:
    gr.Markdown(WEBCAM)
    with gr.Row():
        with gr.Column(min_width=280):
            camera = gr.Image(
                sources=["webcam"],
                streaming=True,
                type="filepath",
                image_mode=None,  # not decoded by Gradio, which knows other limits
                format="jpeg",
                label="Webcam",
                elem_id="camera",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
            options = parts.options("webcam")
        with gr.Column(min_width=280):
            live = gr.Image(
                label="Anonymized",
                format="jpeg",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="live",
                alt_text="The webcam image with synthetic faces",
            )
            said = gr.HTML(elem_id="said-live")
    camera.stream(
        app.webcam,
        [camera],
        [live, said],
        inputs_kwargs=options.inputs,
        stream_every=0.4,
        time_limit=60,
        concurrency_id="webcam",
        concurrency_limit=AT_ONCE,
        api_visibility="private",
        show_progress="hidden",
    )
    return options


def _private_tab(app: App, options: parts.Options) -> None:
    gr.Markdown(PRIVACY)
    gr.HTML(work.report_tables(), elem_id="report")
    gr.Markdown(SEEN)
    with gr.Row():
        with gr.Column(min_width=280):
            photo = parts.photo_input(label="A photo", elem_id="private-photo", height=300)
        with gr.Column(min_width=280):
            examples = parts.examples("private")
            said = gr.HTML(elem_id="said-private")
    with gr.Row(elem_id="seen"):
        pictures = [
            gr.Image(label=label, format="png", interactive=False, buttons=["fullscreen"], min_width=240, height=280)
            for label in work.GENERATOR_VIEW
        ]
    examples.select(app.example, None, [photo], api_visibility="private", queue=False)
    photo.change(
        app.generator_view,
        [photo],
        [*pictures, said],
        inputs_kwargs=options.inputs,
        show_progress_on=pictures,
        api_visibility="private",
        concurrency_id="engine",
        concurrency_limit=AT_ONCE,
    )


def _api(app: App) -> None:
    """``/anonymize`` and ``/anonymize_video`` for programs; what they take and give does not depend on how the page looks."""
    photo, choices = parts.photo_input(label="photo", visible=False), parts.controls(visible=False)
    seed = gr.Number(precision=0, label="seed", visible=False)
    picture = gr.Image(label="anonymized", type="filepath", format="jpeg", visible=False)
    faces = gr.JSON(label="faces", visible=False)
    gr.Button(visible=False).click(
        app.api,
        [photo],
        [picture, faces],
        inputs_kwargs={"seed": seed, **choices},
        api_name="anonymize",
        concurrency_id="engine",
        concurrency_limit=AT_ONCE,
    )
    video = parts.video_input(label="video", visible=False)
    result = gr.Video(label="anonymized", visible=False)
    report = gr.JSON(label="report", visible=False)
    gr.Button(visible=False).click(
        app.api_video,
        [video],
        [result, report],
        inputs_kwargs={"seed": seed, **{name: choice for name, choice in choices.items() if name != "output"}},
        api_name="anonymize_video",
        concurrency_id="video",
        concurrency_limit=VIDEOS_AT_ONCE,
    )
