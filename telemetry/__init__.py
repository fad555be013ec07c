"""What the rooms tell of themselves: log lines, traces, spans.

A leaf that the service and the workers share. The standard library alone; OpenTelemetry where it is
installed and asked for. Knows nothing of requests, queues or models.
"""
