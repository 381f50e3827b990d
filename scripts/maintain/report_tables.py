"""Write the tables of one or several reports into a Markdown page, between its lines `<!-- report -->` and `<!-- /report -->`.

python scripts/maintain/report_tables.py runs/report/report.json docs/evaluation.md
python scripts/maintain/report_tables.py PAIRS/report.json EXPRESSIONS/report.json docs/evaluation.md    # two runs of the same weights
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ganon_hf._atomic import write_atomically
from ganon_hf.evaluation.report.report import read_report, tables

BEGIN, END = "<!-- report -->", "<!-- /report -->"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", metavar="report", help="report.json")
    parser.add_argument("page", type=Path, help="Markdown page with the two lines")
    options = parser.parse_args(argv)
    text = options.page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        parser.error(f"{options.page} must hold the lines {BEGIN} and {END}, once each and in this order.")
    before, rest = text.split(BEGIN)
    try:
        reports = [read_report(path) for path in options.reports]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    models = {str(report.settings.get("model")) for report in reports}
    if len(models) > 1:
        parser.error(f"the reports are of different weights: {', '.join(sorted(models))}.")
    made = "\n\n".join(tables(report) for report in reports)
    write_atomically(options.page, f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
