"""The command line, and nothing else: it imports the other packages lazily, and nothing imports it."""
