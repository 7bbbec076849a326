"""What the processor has."""

from __future__ import annotations

from pathlib import Path

HAS_AVX512 = "avx512f" in Path("/proc/cpuinfo").read_text().split()
