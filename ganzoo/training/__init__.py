"""Training: the loop, the optimizer, EMA, checkpoints and reports. The package itself doesn't import Jittor."""
