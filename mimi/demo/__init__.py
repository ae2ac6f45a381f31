"""The steps of `mimi demo`: a server, a training, an upload, and many questions, each in a module."""
