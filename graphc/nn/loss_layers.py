"""The losses as layers, as PyTorch has them: ``nn.CrossEntropyLoss()(scores, target)``."""

from __future__ import annotations

from typing import Any

from . import classes, losses
from .checks import choice, flag, number
from .module import Module
from .parameter import Buffer


class _Loss(Module):
    """What losses have in common: `reduction`, and names that a function takes as they are."""

    def _keep(self, reduction: str, more: tuple[str, ...] = (), **arguments: Any) -> None:
        self.reduction = choice(type(self).__name__, "reduction", reduction, (*losses.REDUCTIONS, *more))
        vars(self).update(arguments)

    def _factor(self, name: str, value: Any) -> None:
        """Factors are state: they are saved with the model."""
        setattr(self, name, None if value is None else Buffer(value))


class MSELoss(_Loss):
    """`mse_loss`.

    >>> from graphc import eager, nn
    >>> nn.MSELoss()(eager.tensor([1.0, 2.0]), eager.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def __init__(self, reduction: str = "mean"):
        self._keep(reduction)

    def forward(self, x: Any, target: Any) -> Any:
        return losses.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """`l1_loss`."""

    def __init__(self, reduction: str = "mean"):
        self._keep(reduction)

    def forward(self, x: Any, target: Any) -> Any:
        return losses.l1_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """`smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        self._keep(reduction, beta=number("SmoothL1Loss", "beta", beta, 0.0))

    def forward(self, x: Any, target: Any) -> Any:
        return losses.smooth_l1_loss(x, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """`huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        self._keep(reduction, delta=number("HuberLoss", "delta", delta, 0.0))

    def forward(self, x: Any, target: Any) -> Any:
        return losses.huber_loss(x, target, self.reduction, self.delta)


class NLLLoss(_Loss):
    """`nll_loss`."""

    def __init__(self, weight: Any = None, ignore_index: int = classes.IGNORED, reduction: str = "mean"):
        self._keep(reduction, ignore_index=ignore_index)
        self._factor("weight", weight)

    def forward(self, x: Any, target: Any) -> Any:
        return classes.nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_Loss):
    """`cross_entropy`."""

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = classes.IGNORED,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        eps = number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0.0, 1.0)
        self._keep(reduction, ignore_index=ignore_index, label_smoothing=eps)
        self._factor("weight", weight)

    def forward(self, x: Any, target: Any) -> Any:
        return classes.cross_entropy(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class BCELoss(_Loss):
    """`binary_cross_entropy`."""

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        self._keep(reduction)
        self._factor("weight", weight)

    def forward(self, x: Any, target: Any) -> Any:
        return losses.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`binary_cross_entropy_with_logits`."""

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        self._keep(reduction)
        self._factor("weight", weight)
        self._factor("pos_weight", pos_weight)

    def forward(self, x: Any, target: Any) -> Any:
        return losses.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(_Loss):
    """`kl_div`."""

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        self._keep(reduction, ("batchmean",), log_target=flag("KLDivLoss", "log_target", log_target))

    def forward(self, x: Any, target: Any) -> Any:
        return losses.kl_div(x, target, self.reduction, self.log_target)
