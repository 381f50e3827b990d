"""Fitting and training. Nothing here is needed to anonymize."""
