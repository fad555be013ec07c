"""TarFlow: tensors in, tensors out.

Owns the flow, its sampler, its scores and its checkpoints. Imports torch and safetensors
only, and numba where it is installed; knows nothing of requests, queues or image files.
"""

from model.checkpoint import load, save
from model.config import TarFlowConfig
from model.denoiser import denoise
from model.errors import CheckpointError
from model.flow import TarFlow
from model.sampler import Sampler, sample, trajectory

__all__ = ["CheckpointError", "Sampler", "TarFlow", "TarFlowConfig", "denoise", "load", "sample", "save", "trajectory"]
