"""Packages that only some tests need."""

from __future__ import annotations

import importlib.util

import pytest

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow, which the extra `parquet` installs"
)
