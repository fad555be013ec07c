"""What a request may ask for at most and at least, wherever it comes from.

Owns the limits that the service and the workers share. Knows nothing of what they limit.
"""

MAX_IMAGES = 16
# Pixels around each picture of a sheet of several.
SHEET_MARGIN = 2
MAX_FILES = 64
# Images to score or to encode: Pillow's names of their formats, and pixels where a service is not told otherwise.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_IMAGE_PIXELS = 40_000_000
MAX_GUIDANCE = 20.0
MAX_SEED = 2**53 - 1
MIN_TEMPERATURE = 0.01  # tiny ones are 0, or overflow, in float32
# Far beyond what any image is encoded as; beyond it a flow only overflows.
MAX_LATENT = 1e6
NO_CLASS = -1
# p-values at or under it are anomalies, where a request does not say otherwise.
DEFAULT_ALPHA = 0.01
DEFAULT_CALIBRATION = "default"
MIN_ALPHA = 1e-6
MAX_ALPHA = 0.5
# Images times classes of one request for every class: each pair is a forward pass.
MAX_CLASS_PASSES = 4096
# The most passes that nothing comes between, neither a cancellation nor a job that costs less; a POST pays for as many.
CHUNK_PASSES = 64
