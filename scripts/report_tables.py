"""Write the tables of a report into a Markdown page, between its lines `<!-- report -->` and `<!-- /report -->`.

python scripts/report_tables.py runs/report/report.json docs/evaluation.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ganon_hf.evaluation.report import read_report, tables, write_text

BEGIN, END = "<!-- report -->", "<!-- /report -->"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.json")
    parser.add_argument("page", type=Path, help="Markdown page with the two lines")
    options = parser.parse_args(argv)
    text = options.page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        parser.error(f"{options.page} must hold the lines {BEGIN} and {END}, once each and in this order.")
    before, rest = text.split(BEGIN)
    try:
        made = tables(read_report(options.report))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    write_text(options.page, f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
