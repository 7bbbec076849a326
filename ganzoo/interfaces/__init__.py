"""What a plugin author subclasses or calls. The public names are those of `ganzoo` itself."""
