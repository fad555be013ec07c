"""Laws of `service`; no test here needs a worker process, a checkpoint or torch."""
