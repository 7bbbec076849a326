"""CUDA for Jittor: the driver, the search for a complete toolkit, and a folder that makes CUDA 13 look like CUDA 12.

Nothing here imports Jittor, and without a driver nothing here takes longer than a millisecond.
"""
