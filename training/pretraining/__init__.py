"""Pretraining of the bundled backbone: how its weights were made, and how to make better ones."""
