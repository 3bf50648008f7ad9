"""Reading a compiled step: its source as a document, its kernels, its memory, its graph as a picture, its files."""
