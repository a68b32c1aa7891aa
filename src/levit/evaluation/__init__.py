"""Judges anything with the Engine protocol; so far its speed."""
