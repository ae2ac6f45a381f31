"""The REST server: many tasks over one resident backbone."""
