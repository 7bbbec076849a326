"""Metrics of generated images: features of networks, distances between them, and what is made of both."""
