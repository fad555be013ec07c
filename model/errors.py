"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or does not hold what it says."""
