"""Hostile input: files that are nearly right, for everything that reads a file.

A target is a module of `TARGETS` with `seeds()`, whole files as our own code or the usual writer of the format makes
them, and `check(data)`, which makes a file of any bytes (see `edits.Choices`), has it read, and raises if anything but
a GanzooError comes out. `python -m tests.fuzz` runs them for as long as one likes, `test_fuzz` each for a moment.
"""

TARGETS = ("pictures", "weights", "presets", "run_folders", "checkpoints", "zips", "lmdbs")
