"""What `mimi demo` does: a server, a training, an upload, and many questions, each step in a module."""
