"""The request under way, as log lines and exemplars name it. Figures and spans are made in `metrics`."""
