"""Starts, watches and stops regions of Meridian on one machine: the engine of scripts/quickstart and
the harness of tests/e2e and tests/bench.

topology    what is to run: read from a file or the default
layout      where things lie under a region's directory; the state file
ports       which ports are free
process     one child process: start, log file, stop
programs    command line, configuration and readiness of every kind of process
supervisor  owns the processes, restarts them, obeys the control socket
control     the other side of that socket
cluster     the same as an object, for tests
cli         the command line
"""
