"""Runs every check and test: the engine of scripts/test.

report    counts what passed and failed
lint      checks of the sources that need no build
layers    which library may include which
stages    builds, unit tests, fuzzing, end-to-end tests
cli       the command line
"""
