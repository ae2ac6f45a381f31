"""The server: request, decode, resolve, batch, engine, response."""
