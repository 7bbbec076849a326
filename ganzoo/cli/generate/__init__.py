"""`ganzoo generate`: the command, its options, and what it writes."""
