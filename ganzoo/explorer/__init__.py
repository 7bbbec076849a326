"""`ganzoo explore`: a page on this machine that shows what a run generates or translates."""
