"""Looking at a finished run: a page that goes through its photos, corrections that are kept in a file, and a page to sign."""

from __future__ import annotations
