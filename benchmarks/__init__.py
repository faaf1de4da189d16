"""Measure the cost of a streamed event: this package, other clients and two baselines, side by side."""
