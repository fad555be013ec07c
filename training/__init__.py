"""Offline work on checkpoints: train, evaluate, import.

Owns data folders, the optimisation and the figures of a checkpoint. Imports model, torch
and pillow; knows nothing of queues or HTTP.
"""
