"""Records of evaluations, as `ganzoo evaluate` writes them, without evaluating anything."""

from __future__ import annotations

from typing import Any


def record(numbers: dict[str, float], samples: int = 500, **changes: Any) -> dict[str, Any]:
    """Return the record of an evaluation of `gan` on `mnist` with these numbers, and with other entries changed."""
    result = {"numbers": numbers, "samples": samples, "real": 500, "mode": "", "source": "", "target": ""}
    entries = {
        "subject": "gan at 1 kimg, 28 px, grey",
        "against": "mnist",
        "model": "gan",
        "checkpoint": "checkpoint-000001000.safetensors",
        "images": 1000,
        "size": 28,
        "channels": 1,
        "recipe": {
            "features": {"backbone": "efficientnet-lite0", "images": "resized to 224 px", "sha256": "0" * 64},
            "metrics": list(numbers),
            "backbones": dict.fromkeys(numbers, "efficientnet-lite0"),
            "seed": 0,
            "ganzoo": "0.1.0",
            "environment": {"device": "cpu"},
        },
        "mean": {"": numbers},
        "results": [result],
    }
    return {**entries, **changes}
