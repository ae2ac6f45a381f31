"""HTTP endpoints: each reads a request, calls one function that knows no HTTP, and builds the answer."""
