"""Classes and functions that plugin authors subclass or call. `ganzoo` itself exports the public ones."""
