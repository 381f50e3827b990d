"""Figures of merit as functions of arrays, each with its interval over people."""
