"""What this project claims, measured: one command each, JSON out."""
