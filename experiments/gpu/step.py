"""Runs one step of a session, as a process of its own.

    python experiments/gpu/step.py NAME [WORDS...]

Results are appended to results.jsonl, one per line. The last line of the output is DONE; the exit status is
unreliable, because CUDA libraries may abort when a process ends.
"""

from __future__ import annotations

import importlib
import sys
import traceback

from kit import report

MODULES = {
    "jobs": ("jobs",),
    "machine": ("facts", "site", "core"),
    "kernels": ("kernels",),
    "values": ("pictures", "references", "values"),
    "sides": ("serve",),
    "speed": ("speed", "losses"),
    "profiling": ("profile",),
    "convolutions": ("convolutions",),
    "training": ("draw", "export"),
    "micro": ("micro", "sums"),
}
STEPS = {step: module for module, steps in MODULES.items() for step in steps}
SILENT = ("jobs", "serve")  # other processes read the output of these


def main(name: str, *words: str) -> None:
    if name not in STEPS:
        sys.exit(f"unknown step {name}; choose from {', '.join(STEPS)}")
    try:
        getattr(importlib.import_module(STEPS[name]), name)(*words)
    except Exception as error:
        report("failed", step=name, words=words, error=repr(error)[:1500], trace=traceback.format_exc()[-2500:])
        sys.exit(1)
    if name not in SILENT:
        print("DONE", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
