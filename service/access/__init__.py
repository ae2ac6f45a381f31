"""Access control: named keys, the file that they come from, and their rate limits."""
