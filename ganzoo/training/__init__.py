"""Training: the loop, the optimizer, averages, checkpoints and reports. Light: the modules import Jittor."""
