"""HTTP endpoints: each takes a request apart, calls one thing that knows no HTTP, and shapes the answer."""
