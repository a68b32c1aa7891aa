"""Labeled data sets: readers of folders, parquet, tar and other formats, subsets, inspection; without torch."""
