"""Measures the claims of this project: one command for each, with JSON as output."""
