"""ganzoo in Python: load a run, generate, evaluate and train, with the functions that the command line uses."""
