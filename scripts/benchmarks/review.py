"""Looking through many photos: how long `ganon-hf review` takes to show its page and each photo, and whether its memory grows.

    python scripts/benchmarks/review.py                        # 2,000 photos of 12 megapixels, every one looked at
    python scripts/benchmarks/review.py --photos 200 --pause 0.5

The server is the command in a process of its own; the person is headless Chromium that presses the key for the next photo as soon as one is
shown (or after a pause). A photo is shown when its name, its outlines and its decoded picture are on the page. Photos are drawn: noise and
gradients, several names for each file, with a report of invented faces; nothing is anonymized. Needs Chromium and Playwright.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmark_support import load_average, make_parser, verdict, write_json

DISTINCT = 12  # pictures; the other names are links to them
TARGET_PAGE, TARGET_STEP, TARGET_GROWTH = 3.0, 0.3, 30e6  # seconds, seconds, bytes
STARTS = 3  # of the command and the browser: the first one finds their files on the disk, the next in memory
MEMORY_FROM = 200  # photos, after which memory must not grow
READY = "typeof state !== 'undefined' && state.photo !== null && !state.busy"
# Presses the key and waits until the picture is there; milliseconds.
STEP = """async () => {
    const before = state.photo.number, start = performance.now(), sleep = () => new Promise((done) => setTimeout(done, 2));
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
    while (state.photo.number === before || state.busy) await sleep();
    const picture = document.querySelector("#picture img");
    await picture.decode();
    return performance.now() - start;
}"""
SERVE = "from ganon_hf.cli.main import app; app()"


def write_run(root: Path, count: int, width: int, height: int) -> None:
    """Results and a report of a run that never was."""
    import numpy as np
    from PIL import Image

    from ganon_hf.bulk.tasks import Settings
    from ganon_hf.core.options import AnonymizeOptions

    out, rng, line = root / "out", np.random.default_rng(0), Settings(AnonymizeOptions(), model="none").to_dict()
    out.mkdir()
    y, x = np.mgrid[:height, :width] / height
    for number in range(min(DISTINCT, count)):
        photo = np.stack([x, y, (x + y) / 2], axis=2) * rng.uniform(60, 160) + rng.normal(60, 8, (height, width, 1))
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(out / f"{number:05d}.jpg", quality=92)
    with (root / "report.jsonl").open("w") as report:
        for number in range(count):
            name = f"{number:05d}.jpg"
            if number >= DISTINCT:
                os.link(out / f"{number % DISTINCT:05d}.jpg", out / name)
            faces = [_face(rng, width, height, ("replaced", "covered", "doubtful")[int(rng.integers(20)) // 18]) for _ in range(3)]
            values = {"input": f"in/{name}", "name": name, "output": f"out/{name}", "status": "ok", "faces": faces, "error": None}
            report.write(json.dumps(values | {"notes": [], "seconds": 0.1} | line) + "\n")


def _face(rng: Any, width: int, height: int, status: str) -> dict[str, Any]:
    x, y, size = float(rng.uniform(0, width * 0.8)), float(rng.uniform(0, height * 0.8)), float(rng.uniform(40, height / 5))
    box = {"xmin": x, "ymin": y, "xmax": x + size * 0.8, "ymax": y + size}
    return {"box": box, "score": 0.9, "status": status, "reason": "" if status == "replaced" else "drawn", "look": "", "kept": []}


def resident(pid: int) -> int:
    """Resident size of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(pid: int) -> float:
    """What a process has computed so far; unlike the clock it does not grow with what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(root: Path, count: int, pause: float) -> dict[str, Any]:
    """Serve the run, look at every photo, and return the numbers."""
    starts = [look(root, 1, pause) for _ in range(STARTS - 1)]
    last = look(root, count, pause)
    return last | {"starts": [one["listening"] + one["page"] for one in (*starts, last)]}


def look(root: Path, count: int, pause: float) -> dict[str, Any]:
    """Serve the run in a fresh process, and look at the first photos of it in a fresh browser."""
    from playwright.sync_api import sync_playwright

    started = time.perf_counter()
    command = [sys.executable, "-c", SERVE, "review", str(root / "out"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            listening = time.perf_counter() - started
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            session = page.context.new_cdp_session(page)
            started = time.perf_counter()
            page.goto(address)
            while not page.evaluate(READY):
                time.sleep(0.01)
            page.evaluate("document.querySelector('#picture img').decode()")
            shown = time.perf_counter() - started
            steps, memory, before = [], [], processor_seconds(server.pid)
            for number in range(1, count):
                steps.append(page.evaluate(STEP) / 1000)
                if number % 100 == 0 or number == count - 1:
                    session.send("HeapProfiler.collectGarbage")
                    heap = session.send("Runtime.getHeapUsage")["usedSize"]
                    memory.append({"photo": number, "server": resident(server.pid), "page": int(heap)})
                time.sleep(pause)
            computed = (processor_seconds(server.pid) - before) / max(1, count - 1)
            browser.close()
        finally:
            server.kill()
    return {"listening": listening, "page": shown, "steps": steps, "memory": memory, "server_seconds_per_step": computed}


def main() -> int:
    """Print the numbers; 1 where a target was missed."""
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before the next key")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder), arguments.photos, arguments.width, arguments.height)
        load = load_average()
        numbers = measure(Path(folder), arguments.photos, arguments.pause)
    steps = sorted(numbers["steps"])
    up = median(numbers["starts"])
    late = [one for one in numbers["memory"] if one["photo"] >= min(MEMORY_FROM, arguments.photos // 2)]
    growth = {where: late[-1][where] - late[0][where] for where in ("server", "page")}
    worst = steps[int(len(steps) * 0.99)]
    print(f"{arguments.photos} photos of {arguments.width} x {arguments.height} pixels, load of the machine before: {load}")
    starts = ", ".join(f"{seconds:.2f}" for seconds in numbers["starts"])
    print(f"{verdict(up < TARGET_PAGE)}: from the command to the first photo: median {up:.2f} s of {starts} s")
    print(f"{verdict(worst < TARGET_STEP)}: a step: median {median(steps):.3f} s, 99 of 100 below {worst:.3f} s, longest {steps[-1]:.3f} s")
    print(f"processor seconds of the server for a step: {numbers['server_seconds_per_step']:.3f}")
    sizes = ", ".join(f"{where} {late[0][where] / 1e6:.0f} -> {late[-1][where] / 1e6:.0f} MB" for where in growth)
    flat = all(value < TARGET_GROWTH for value in growth.values())
    print(f"{verdict(flat)}: memory from photo {late[0]['photo']} to {late[-1]['photo']}: {sizes}")
    write_json(arguments.json, numbers)
    return 0 if up < TARGET_PAGE and worst < TARGET_STEP and flat else 1


if __name__ == "__main__":
    sys.exit(main())
