"""The alternatives to our engine: functions that build calls for workers, with each library's own defaults.

A module here imports only its libraries, numpy and `pipe`, so that it runs in an environment of its own.
"""
