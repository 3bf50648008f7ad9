"""Graph to graph: each pass is a pure function in a file of its own; `pipeline` shows their order."""
