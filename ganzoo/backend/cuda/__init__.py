"""CUDA for Jittor: what the driver offers, a toolkit that is whole, and a folder that makes CUDA 13 look like CUDA 12.

None of this imports Jittor, and without a driver none of it takes longer than a millisecond.
"""
