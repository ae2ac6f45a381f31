"""The demo does what a user would do: start a server, train a task, upload it, and ask many questions."""
