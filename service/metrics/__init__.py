"""Metrics for Prometheus: counters of events, gauges that are read at each scrape, and a bounded number of labels."""
