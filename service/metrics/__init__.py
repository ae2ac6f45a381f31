"""What Prometheus scrapes: counters of events, gauges read at the scrape, and labels that stay bounded."""
