"""From a photo to its anonymized copy. Everything here is exported to the Hub as flat files, so it imports `from .name` only."""
