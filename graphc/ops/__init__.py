"""What each op means: the rows of the op table, and the functions users call."""
