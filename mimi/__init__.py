"""The command line. It imports the other packages when a command needs them, and nothing imports it."""
