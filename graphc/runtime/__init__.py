"""Running programs: generated files and their cache, memory, threads, and calls."""
