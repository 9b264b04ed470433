"""The parts of tests/bench/run: targets, workloads, measurements, reports."""
