"""Laws of `worker`: engines with random weights, and a real Redis where there is a queue."""
