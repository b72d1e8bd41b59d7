"""One file a format: what a stack looks like in it, written and, where that is possible, read."""
