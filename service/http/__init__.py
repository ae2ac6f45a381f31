"""HTTP: routes, bodies and answers, the limits around them, and the OpenAPI document."""
