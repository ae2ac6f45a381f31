"""HTTP: routes, bodies and answers, limits around them, and the OpenAPI document."""
