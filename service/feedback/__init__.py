"""Corrections: images whose right label somebody has said, kept until they are exported or deleted."""
