"""Reports, tables and plots of evaluations, benchmarks and training runs."""
