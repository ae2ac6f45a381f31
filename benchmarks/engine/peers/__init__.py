"""What users would otherwise run: modules that `worker` builds calls from, each with its libraries' own defaults.

A module here imports only its libraries, numpy and `job`, so that it runs in an environment of its own.
"""
