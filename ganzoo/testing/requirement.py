"""What all parts of the contract test use."""

from __future__ import annotations

BATCH = 4
IMAGES = 8


def require(condition: bool, message: str) -> None:
    """Raise AssertionError unless the condition is true."""
    # Not a bare assert: `python -O` would drop it.
    if not condition:
        raise AssertionError(message)
