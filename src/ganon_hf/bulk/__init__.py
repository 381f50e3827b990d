"""Many photos: folders, rows of data sets, Parquet shards on a Ray cluster. Light to import: names load their modules when first used.

``AnonymizeRows`` goes into ``datasets.Dataset.map``; ``anonymize_dataset`` runs a job on a cluster. See ``docs/scaling.md``.
``read_corrections`` reads what a review has left, ``docs/review.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .correction_file import PhotoCorrections, read_corrections, write_corrections
    from .ray_job import JobSummary, anonymize_dataset
    from .rows import AnonymizeRows

# Public name -> the module that defines it.
_PUBLIC = {
    "AnonymizeRows": "rows",
    "JobSummary": "ray_job",
    "PhotoCorrections": "correction_file",
    "anonymize_dataset": "ray_job",
    "read_corrections": "correction_file",
    "write_corrections": "correction_file",
}

__all__ = ["AnonymizeRows", "JobSummary", "PhotoCorrections", "anonymize_dataset", "read_corrections", "write_corrections"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
