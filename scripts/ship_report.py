"""Put the figures of a report into the package, where `ganon-hf export` and the Space find them.

python scripts/ship_report.py runs/report/report.json

The report must have measured the package's present weights. Curves (for plots) are left out; a report that names paths is refused.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

from ganon_hf import Anonymizer
from ganon_hf.evaluation.report import Report, to_json, write_text
from ganon_hf.export import REPORT, ExportError, require_same_weights
from ganon_hf.model_card import load_report


def shipped_text(report: Report) -> str:
    """What is written: every figure with its interval, settings and notes.

    Raises:
        ValueError: it names a path.
    """
    text = json.dumps(to_json(replace(report, sets=tuple(replace(part, curves={}) for part in report.sets))), indent=1) + "\n"
    path = re.search(r"(?<![\w.])(?:/[\w.-]+){2,}|[A-Za-z]:\\\\", text)
    if path:
        raise ValueError(f"the report names a path, which must not be published: {path.group(0)}")
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.json")
    options = parser.parse_args(argv)
    try:
        report = load_report(options.report)
        require_same_weights(report, Anonymizer.from_pretrained(), options.report)
        text = shipped_text(report)
    except (ExportError, ValueError) as error:
        parser.error(str(error))
    write_text(REPORT, text)
    print(f"{REPORT.name}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
