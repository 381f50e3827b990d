"""Attacks on the anonymization: by landmarks, parrot, reconstruction."""
