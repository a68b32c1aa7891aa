"""Throughput, latency, start-up time and memory of models, measured side by side in worker processes."""
