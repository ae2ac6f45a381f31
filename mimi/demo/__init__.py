"""The demo: a server, a training, an upload and many questions, as a user would do them one after the other."""
