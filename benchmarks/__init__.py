"""What sessions cost, beside what they could cost at least and beside peers: ``python -m benchmarks``."""
