"""What the processor has."""

from __future__ import annotations

from pathlib import Path

_FLAGS = Path("/proc/cpuinfo").read_text().split()
HAS_AVX, HAS_AVX512 = "avx" in _FLAGS, "avx512f" in _FLAGS
