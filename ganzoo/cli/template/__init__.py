"""Templates of the package that `ganzoo new-plugin` writes."""
