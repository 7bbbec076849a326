"""Data sets: storage, sampling and loading of images, and preparing and downloading of sets."""
