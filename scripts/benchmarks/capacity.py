"""How many machines, hours and how much money so many photos take, by arithmetic.

    python scripts/benchmarks/capacity.py --json runs/folder.json --price-per-core-hour 0.04
    python scripts/benchmarks/capacity.py --photos 100e6 --core-seconds 0.7 --price-per-core-hour 0.04 --days 1 7 30

The one measured number is the processor time of a photo: of ``scripts/benchmarks/folder.py --json``, or given. Everything else is
assumption: that photos are like those of the benchmark, that cores are like the measured ones and do nothing else, that a share of the
time is lost to waiting, and what a core costs. Processor time is used, and not time by the clock, because other work on the machine changes
it least.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import median


def core_seconds_of(report: Path) -> float:
    """Median processor seconds of a photo, from the pipeline's rounds."""
    rounds = json.loads(report.read_text(encoding="utf-8"))["rounds"]["pipeline"]
    return median(one["processor_seconds_per_photo"] for one in rounds)


def plan(photos: float, core_seconds: float, *, utilisation: float, price: float, cores: int, days: float) -> dict[str, float]:
    """Core hours and cost of all photos, and machines to finish within so many days."""
    core_hours = photos * core_seconds / 3600 / utilisation
    machines = math.ceil(core_hours / cores / (24 * days))
    return {
        "core_hours": core_hours,
        "cost": core_hours * price,
        "machines": machines,
        "hours": core_hours / cores / machines,
        "photos_per_second": photos / (core_hours / cores / machines * 3600),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument("--json", type=Path, help="of scripts/benchmarks/folder.py")
    measured.add_argument("--core-seconds", type=float, help="processor time of a photo")
    parser.add_argument("--photos", type=float, default=100e6)
    parser.add_argument("--utilisation", type=float, default=0.85, help="share of the time that cores compute")
    parser.add_argument("--price-per-core-hour", type=float, required=True, help="in any currency")
    parser.add_argument("--cores", type=int, default=64, help="of a machine")
    parser.add_argument("--days", type=float, nargs="+", default=[1, 7, 30])
    options = parser.parse_args()
    core_seconds = core_seconds_of(options.json) if options.json else options.core_seconds
    if not (core_seconds > 0 and 0 < options.utilisation <= 1 and options.photos > 0 and options.cores > 0 and min(options.days) > 0):
        parser.error("photos, processor time, cores and days must be above 0, utilisation above 0 and at most 1")
    print(f"{options.photos:,.0f} photos of {core_seconds:.2f} core seconds, {options.utilisation:.0%} of the time computing\n")
    print(f"| within | machines of {options.cores} cores | hours | photos a second | core hours | cost |")
    print("|---|---|---|---|---|---|")
    for days in options.days:
        done = plan(
            options.photos,
            core_seconds,
            utilisation=options.utilisation,
            price=options.price_per_core_hour,
            cores=options.cores,
            days=days,
        )
        print(
            f"| {days:g} days | {done['machines']:,.0f} | {done['hours']:,.0f} | {done['photos_per_second']:,.0f} | "
            f"{done['core_hours']:,.0f} | {done['cost']:,.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
