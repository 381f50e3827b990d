"""The photo's way from pixels to pixels: everything here is exported to the Hub as flat files, so it imports `from .name` only."""
