"""What an accepted photo takes, from file to file: the ceiling that docs/security.md and the worker pool state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganon_hf.bulk.worker_pool import BYTES_PER_PIXEL

pytestmark = [pytest.mark.attack, pytest.mark.slow, pytest.mark.detection]
MEASURE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from peak_memory import peak_bytes
from ganon_hf.bulk.engine import read_engine
from ganon_hf.bulk.folder import plan, run
from ganon_hf.bulk.tasks import Settings
from ganon_hf.core.options import AnonymizeOptions
folder = Path(sys.argv[1])
engine = read_engine(None, None, 1)
def anonymize(name):
    jobs, _ = plan([str(folder / name)], str(folder / "out"))
    (outcome,) = run(jobs, Settings(AnonymizeOptions(seed=1, on_no_face="keep", min_face_size=48), overwrite=True), lambda _: engine, None)
    assert outcome.status == "ok", outcome.error
    return peak_bytes()
anonymize("small.png")
before = anonymize("small.png")
with Image.open(folder / sys.argv[2]) as image:
    pixels = image.width * image.height
print((anonymize(sys.argv[2]) - before) / pixels)
"""


def photo(folder: Path, kind: str, astronaut: Image.Image) -> str:
    """A photo of 24 megapixels in one of the forms that take most, with a face in it; the name of its file."""
    size = (32_000, 750) if kind == "thin" else (6000, 4000)
    image = Image.new("RGB", size, (120, 110, 100))
    face = astronaut.resize((700, 700))
    for left in range(0, size[0] - 700, 2300):
        image.paste(face, (left, size[1] - 720))  # where a gradient of transparency ends, so that it is seen
    if kind == "transparent":
        image.putalpha(Image.linear_gradient("L").resize(size))
        image.save(folder / "a.png", compress_level=1)
    elif kind == "sixteen bits":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / "a.tif")
    elif kind == "palette":
        image.quantize(64).save(folder / "a.png", compress_level=1, transparency=0)
    elif kind == "print":
        image.convert("CMYK").save(folder / "a.jpg", quality=90)
    else:
        image.save(folder / "a.jpg", quality=90)
    return next(path.name for path in folder.glob("a.*"))


TWO_UPLOADS = """
import sys, threading
import app
from peak_memory import peak_bytes
made = app.App()
told = []
threads = [threading.Thread(target=lambda path=path: told.append(made.photo(path, seed=7)[2])) for path in sys.argv[1:]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(told) == 2 and all("replaced" in one for one in told), told
print(peak_bytes() / 1e9)
"""


def test_two_large_uploads_at_once_stay_below_two_gigabytes(astronaut: Image.Image, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    image = Image.new("RGB", (7700, 5100), (120, 110, 100))
    image.paste(astronaut.resize((900, 900)), (500, 500))
    image.save(tmp_path / "a.jpg", quality=90)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    space = Path(__file__).parents[2] / "spaces"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(space), *sys.path]), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", TWO_UPLOADS, str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=space, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    gigabytes = float(done.stdout.split()[-1])
    print(f"two uploads of 39 megapixels at once: {gigabytes:.2f} GB")
    assert gigabytes < 2.0


@pytest.mark.parametrize("kind", ["camera", "thin", "transparent", "sixteen bits", "palette", "print"])
def test_a_photo_takes_no_more_than_is_stated(kind: str, astronaut: Image.Image, tmp_path: Path) -> None:
    astronaut.save(tmp_path / "small.png")
    name = photo(tmp_path, kind, astronaut)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    taken = float(done.stdout.split()[-1])
    print(f"{kind}: {taken:.1f} bytes per pixel")
    assert taken <= BYTES_PER_PIXEL
