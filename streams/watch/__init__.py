"""What a worker says of itself while it runs: counts, metrics, whether it is well and if not, why."""
