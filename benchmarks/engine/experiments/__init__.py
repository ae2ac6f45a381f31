"""What is measured: one module an experiment, each with `measure(bench, found)`."""
