"""The front end: HTTP, and the command line.

Owns the requests of the outside world. Imports worker.contract; never torch.
"""
