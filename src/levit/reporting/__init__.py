"""Pages, tables and plots of what was evaluated, benchmarked and trained."""
