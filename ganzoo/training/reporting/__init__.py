"""What a run shows and writes: progress bar, log, statistics, curves, samples, metrics, checkpoints, plugin events."""
