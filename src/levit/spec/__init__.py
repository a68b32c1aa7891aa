"""Architecture, labels, preprocessing and artifact metadata, with the standard library alone."""
