"""Workers: requests off a queue, run on one device.

Owns the contract with the service, the engine and the queue's consumer. Imports model;
knows nothing of HTTP.
"""
