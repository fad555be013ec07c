"""What a step makes smaller.

Owns the loss: minus the log-likelihood and, where it is asked for, what the flow gets wrong when it
is asked which class an image is of. Knows nothing of optimisers, data or logs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import TarFlow

# Every class costs a pass without gradients for each image that is asked about.
MAX_CLASSES = 32
# Of a batch, the images that are asked about; of those, the ones that are learned from.
ASKED, LEARNED = 0.5, 0.125
# Classes beside its own that an image is held against where it is learned from.
RIVALS = 2
# In nats: an image farther off than this is rather mislabelled than hard.
MOST_WRONG_NATS = 50.0


class Objective(nn.Module):
    """The loss of a batch, as a module so that it can be distributed.

    The mean negative log-likelihood in nats per dim, -log p(x|c) / dims; plus, times `class_weight`, -log p(c|x) in
    nats, summed over the hardest of the images asked about and divided by all of them. p(c|x) is what Bayes' rule makes
    of the same likelihoods, all classes alike before. The second is the discriminative half of a generative classifier
    (Mackowiak et al., arXiv 2007.15036): likelihood alone learns little of the few bits that a class is among the
    thousands of an image.

    Raises:
        ValueError: Classes are to be weighed, and there are none, one, or too many.
    """

    def __init__(self, flow: TarFlow, class_weight: float = 0.0) -> None:
        super().__init__()
        if class_weight and not 2 <= flow.config.num_classes <= MAX_CLASSES:
            raise ValueError(f"--class-weight is for 2..{MAX_CLASSES} classes, there are {flow.config.num_classes}")
        self.flow, self.class_weight = flow, class_weight

    def forward(
        self, images: Tensor, labels: Tensor | None, asked: Tensor | None = None, answers: Tensor | None = None
    ) -> Tensor:
        """The loss, and its share that is of the classes, (2,), all trusted.

        Args:
            images: (N, C, H, W).
            labels: (N,), -1 = none; None = the flow has no classes.
            asked: (K, C, H, W), images to be asked about; None = none are.
            answers: (K,), their classes.
        """
        loss = -self._log_prob(images, labels).mean() / self.flow.config.dims
        if asked is None or answers is None:
            return torch.stack((loss, torch.zeros_like(loss)))
        wrong = self.class_weight * self._wrong_nats(asked, answers)
        return torch.stack((loss + wrong, wrong))

    def _wrong_nats(self, images: Tensor, labels: Tensor) -> Tensor:
        """-log p(c|x) summed over the hardest of images (K, C, H, W) and divided by K: the others are known already."""
        with torch.no_grad():
            likelihoods = self._of_classes(images, self._every_class(len(images), labels.device))
            wrong = F.cross_entropy(likelihoods, labels, reduction="none").nan_to_num()
            chosen = wrong.topk(max(1, round(LEARNED * len(images)))).indices
            others = likelihoods[chosen].scatter(1, labels[chosen, None], -torch.inf)
            rivals = others.topk(min(RIVALS, others.shape[1] - 1)).indices
        likelihoods = self._of_classes(images[chosen], torch.cat((labels[chosen, None], rivals), dim=1))
        wrong = -likelihoods.log_softmax(dim=1)[:, 0]
        return wrong.clamp(max=MOST_WRONG_NATS).sum() / len(images)

    def _every_class(self, count: int, device: torch.device) -> Tensor:
        return torch.arange(self.flow.config.num_classes, device=device).expand(count, -1)

    def _of_classes(self, images: Tensor, classes: Tensor) -> Tensor:
        """log p(x|c), (N, K), of images (N, C, H, W) under each of their classes (N, K)."""
        repeated = images.repeat_interleave(classes.shape[1], dim=0)
        return self._log_prob(repeated, classes.reshape(-1)).view(classes.shape)

    def _log_prob(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.flow.standard_log_prob(images, labels, checked=False)


def class_passes(num_classes: int) -> float:
    """Forward passes for each image of a batch that weighing the classes adds; a backward one counts as two."""
    return ASKED * (num_classes + 3 * LEARNED * (1 + min(RIVALS, num_classes - 1)))
