"""Facts that all rooms share, in the standard library alone."""
