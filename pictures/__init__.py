"""Image files as pixels: decoded, converted and fitted to a model.

A leaf that the service, the workers and the training share. Imports pillow alone; knows
nothing of tensors, requests or models.
"""
