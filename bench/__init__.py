"""The project's benchmarks: each prints ratios to a peer measured in the same run. `make bench ARGS="NAME --json"`."""
