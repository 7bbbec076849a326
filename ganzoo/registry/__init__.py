"""Discovery, validation and isolation of plugins."""
