"""Metrics of generated images, and the network features and distances from which they are computed."""
