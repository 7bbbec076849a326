"""Templates for the package that `ganzoo new-plugin` writes."""
