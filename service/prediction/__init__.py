"""Predictions without any protocol: from images to logits, and from logits to the labels that are given."""
