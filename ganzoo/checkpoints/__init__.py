"""Checkpoints: file format, run description, loading, and reading other programs' files."""
