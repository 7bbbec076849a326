"""Fuzzing: damaged and hostile input for everything that reads files.

Each target is a module with two functions: `seeds()` returns valid files; `check(data)` turns the fuzzer's bytes into a
file (see `edits.Choices`), reads it, and passes on any error that is not a GanzooError. `python -m tests.fuzz` runs the
targets for as long as you like; `test_fuzz` runs each for some seconds.
"""

TARGETS = (
    *("pictures", "weights", "presets", "run_folders", "checkpoints"),
    *("zips", "lmdbs", "arrays", "tars", "parquet", "labels"),
)
