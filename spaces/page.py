"""The page: tabs, controls, texts. What happens when something is clicked is in ``app.py``."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import gradio as gr

import work
import work_video
from ganon_hf import AnonymizeOptions
from ganon_hf.core.options import choices_of

if TYPE_CHECKING:
    from app import App

QUEUE = 32
AT_ONCE = 2  # a free Space has two cores
VIDEOS_AT_ONCE = 8  # threads: one works, some wait, the others are refused
# The seed has a control of its own; a photo without a face is always refused here; the detector's threshold is left to programs.
LEFT_OUT = ("seed", "min_score", "on_no_face")
EXAMPLES = {"Example: one face": "portrait.jpg", "Example: two faces": "two_people.jpg"}

HEADER = """# Every face becomes a synthetic one

The same expression, gaze and head pose, and nobody's face. It makes recognition harder and **does not guarantee anonymity**:
hair, the outline of the head, clothes and place stay. Only upload pictures that you may use. They are deleted here within a minute."""
PRIVACY = """## How private is it?

Attackers with a gallery of the original photos try to name the person of an anonymized one: a face recognizer, and one who knows faces
by their landmarks alone. Share of people named first (95 % interval), measured with the weights that run here. “Linked”: two anonymized
photos of one person are taken for the same. Blur and solid cover on the same photos for comparison."""
SEEN = """## What the generator sees

Never a pixel of the face: only the places of 478 landmarks. Even those can identify, so by default their shape is exchanged for a
synthetic person's."""
VIDEO = f"""At most {work_video.MAX_SECONDS} seconds, {work_video.MAX_FRAMES} frames, 1920 x 1080 pixels and 20 MB; one video at a time.
Everybody in it keeps one synthetic person. **The sound is removed, because a voice identifies.** A video in which no face is found is
refused. Download the result: it is deleted here within a minute, and so is the upload."""
WEBCAM = """Every picture is anonymized on this server and forgotten. A picture in which no face is found is not shown.
A session lasts a minute."""
# Drawn by the browser: the server's answer could arrive after somebody has typed a seed.
NEW_SEED = "() => Math.floor(Math.random() * 2 ** 31)"
CSS = """
.scroll { overflow-x: auto; }
.scroll table { width: 100%; border-collapse: collapse; }
.scroll caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
.scroll table, .scroll tr { border: 0 !important; }
.scroll tr > * { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0 !important; vertical-align: top; }
.scroll tr > * { border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.refused { border-left: 4px solid #c00; padding-left: 0.75rem; }
"""


def photo_input(**settings: Any) -> gr.Image:
    """An upload that is handed on as a path: the app reads it, and says what is wrong with it."""
    image = gr.Image(sources=["upload", "clipboard"], type="filepath", image_mode=None, buttons=["fullscreen"], **settings)
    # not a subclass: Gradio would look for a front end of its own for it
    image.preprocess = lambda payload: None if payload is None else payload.path
    return image


def controls() -> dict[str, gr.components.Component]:
    """What people can choose: a control for each option but those in :data:`LEFT_OUT`, made from the fields of ``AnonymizeOptions``."""
    return {option.name: control(option.name) for option in fields(AnonymizeOptions) if option.name not in LEFT_OUT}


def control(name: str, **settings: Any) -> gr.components.Component:
    """One field of ``AnonymizeOptions``, with its choices, default, range and help; ``settings`` are further ones of the component."""
    option = AnonymizeOptions.__dataclass_fields__[name]
    label = name.replace("_", " ").capitalize()
    shown = {"value": option.default, "label": label, "info": option.metadata["help"], **settings}
    if choices := choices_of(option):
        return gr.Radio(list(choices), **shown)
    if option.type is bool:
        return gr.Checkbox(**shown)
    if option.type is str:
        return gr.Textbox(max_lines=1, **shown)
    low, high = option.metadata["range"]
    return gr.Number(minimum=low, maximum=high, precision=None if option.type is float else 0, **shown)


def build(app: App, *, delete_cache: tuple[int, int]) -> gr.Blocks:
    """The page around the functions of ``app``; ``delete_cache`` as for ``gradio.Blocks``."""
    with gr.Blocks(title="ganon-hf: every face becomes a synthetic one", analytics_enabled=False, delete_cache=delete_cache) as page:
        gr.Markdown(HEADER)
        with gr.Accordion("Options", open=False):
            seed = control("seed", elem_id="seed")
            choices = controls()
        page.load(None, outputs=[seed], js=NEW_SEED, api_visibility="private")  # every visitor starts with other synthetic people
        shared: dict[str, Any] = {"inputs_kwargs": {"seed": seed, **choices}, "concurrency_id": "engine"}
        with gr.Tab("Photo"):
            _photo_tab(app, seed, shared)
        with gr.Tab("Several photos"):
            _photos_tab(app, shared)
        with gr.Tab("Video"):
            _video_tab(app, seed, choices)
        with gr.Tab("Webcam"):
            _webcam_tab(app, {**shared, "concurrency_id": "webcam"})
        with gr.Tab("How private is it"):
            _private_tab(app, shared)
        _api(app, choices)
    return page.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE, api_open=False)


def _photo_tab(app: App, seed: gr.components.Component, shared: dict[str, Any]) -> None:
    with gr.Row():
        with gr.Column(min_width=280):
            photo = photo_input(label="Your photo", elem_id="photo", height=380)
            with gr.Row():
                again = gr.Button("Anonymize", variant="primary", elem_id="anonymize")
                others = gr.Button("New people", elem_id="new-people")
            _examples(app, photo)
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said")
            slider = gr.ImageSlider(
                label="Before and after: drag the handle", interactive=False, format="jpeg", elem_id="slider", max_height=560
            )
            handle = gr.Slider(
                0, 100, value=50, step=5, label="The same handle for the keyboard: % of the original shown", elem_id="handle"
            )
            faces = gr.HTML(elem_id="faces")
    event = {
        "fn": app.photo,
        "inputs": [photo],
        "outputs": [slider, faces, said],
        "show_progress_on": slider,
        "api_visibility": "private",
        "concurrency_limit": AT_ONCE,
        **shared,
    }
    handle.input(
        lambda share: gr.update(slider_position=share), [handle], [slider], api_visibility="private", queue=False, show_progress="hidden"
    )
    photo.change(**event)
    again.click(**event)
    others.click(None, outputs=[seed], js=NEW_SEED, api_visibility="private").then(**event)


def _examples(app: App, photo: gr.Image) -> None:
    with gr.Row():
        for label, name in EXAMPLES.items():
            take = functools.partial(app.example, name)
            gr.Button(label, size="sm").click(take, outputs=[photo], api_visibility="private", queue=False)
    gr.Markdown("<small>The examples: NASA's portrait of Eileen Collins (public domain), and two people who do not exist.</small>")


def _photos_tab(app: App, shared: dict[str, Any]) -> None:
    files = gr.File(
        file_count="multiple", file_types=["image"], type="filepath", label=f"Photos, at most {work.MAX_PHOTOS}", elem_id="photos"
    )
    button = gr.Button("Anonymize all", variant="primary", elem_id="anonymize-all")
    said = gr.HTML(elem_id="said-many")
    gallery = gr.Gallery(label="Anonymized photos", columns=3, object_fit="contain", format="jpeg", interactive=False, elem_id="gallery")
    archive = gr.File(label="All of them, as ZIP", interactive=False, elem_id="zip")
    button.click(
        app.photos,
        [files],
        [gallery, archive, said],
        show_progress_on=gallery,
        api_visibility="private",
        concurrency_limit=AT_ONCE,
        **shared,
    )


def video_input(**settings: Any) -> gr.Video:
    """An upload that is handed on as a path: Gradio would convert it with the ffmpeg of the system."""
    video = gr.Video(sources=["upload"], **settings)
    video.preprocess = lambda payload: None if payload is None else payload.path
    return video


def _video_choices(choices: dict[str, Any]) -> dict[str, Any]:
    """A video is always given back whole."""
    return {name: choice for name, choice in choices.items() if name != "output"}


def _video_tab(app: App, seed: gr.components.Component, choices: dict[str, Any]) -> None:
    gr.Markdown(VIDEO)
    with gr.Row():
        with gr.Column(min_width=280):
            upload = video_input(label="Your video", elem_id="video", height=380)
            button = gr.Button("Anonymize the video", variant="primary", elem_id="anonymize-video")
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said-video")
            result = gr.Video(
                label="Anonymized video, without sound", interactive=False, buttons=["download"], elem_id="video-result", height=380
            )
            people = gr.HTML(elem_id="people")
    button.click(
        app.video,
        [upload],
        [result, people, said],
        inputs_kwargs={"seed": seed, **_video_choices(choices)},
        show_progress_on=result,
        api_visibility="private",
        concurrency_id="video",
        concurrency_limit=VIDEOS_AT_ONCE,
    )


def _webcam_tab(app: App, shared: dict[str, Any]) -> None:
    gr.Markdown(WEBCAM)
    with gr.Row():
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
        with gr.Column(min_width=280):
            alt = "The webcam's picture with synthetic faces"
            live = gr.Image(
                label="Anonymized", format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="live", alt_text=alt
            )  # no button that shares
            said = gr.HTML(elem_id="said-live")
    camera.stream(
        app.webcam,
        [camera],
        [live, said],
        stream_every=0.4,
        time_limit=60,
        concurrency_limit=AT_ONCE,
        api_visibility="private",
        show_progress="hidden",
        **shared,
    )


def _private_tab(app: App, shared: dict[str, Any]) -> None:
    gr.Markdown(PRIVACY)
    gr.HTML(work.report_tables(), elem_id="report")
    gr.Markdown(SEEN)
    photo = photo_input(label="A photo", elem_id="private-photo", height=300)
    _examples(app, photo)
    said = gr.HTML(elem_id="said-private")
    with gr.Row(elem_id="seen"):
        pictures = [
            gr.Image(label=label, format="png", interactive=False, buttons=["fullscreen"], min_width=200) for label in work.GENERATOR_VIEW
        ]
    event = {
        "fn": app.generator_view,
        "inputs": [photo],
        "outputs": [*pictures, said],
        "show_progress_on": pictures,
        "concurrency_limit": AT_ONCE,
    }
    photo.change(**event, api_visibility="private", **shared)


def _api(app: App, choices: dict[str, Any]) -> None:
    """``/anonymize`` and ``/anonymize_video`` for programs; what they take and give does not depend on how the page looks."""
    photo = photo_input(label="photo", visible=False)
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
    video = video_input(label="video", visible=False)
    result = gr.Video(label="anonymized", visible=False)
    report = gr.JSON(label="report", visible=False)
    gr.Button(visible=False).click(
        app.api_video,
        [video],
        [result, report],
        inputs_kwargs={"seed": seed, **_video_choices(choices)},
        api_name="anonymize_video",
        concurrency_id="video",
        concurrency_limit=VIDEOS_AT_ONCE,
    )
