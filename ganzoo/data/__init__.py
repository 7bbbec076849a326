"""Data sets: where images are stored, how they are drawn and loaded, and how sets are prepared and downloaded."""
