"""What newcomers, tests and benchmarks run on one machine: the devstack and the demo."""
