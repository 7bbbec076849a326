"""Checkpoints: the file format, what it says of a run, loading, and the import of other programs' files."""
