"""What users would otherwise run: functions that build calls for workers, each with its library's own defaults.

A module here imports only its libraries, numpy and `pipe`, so that it runs in an environment of its own.
"""
