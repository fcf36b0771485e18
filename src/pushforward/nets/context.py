"""Parameters of a transform that may depend on the context (amortised parameters), and contexts as flat vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pushforward.errors import ContextError
from pushforward.nets.mlp import INPUT_LIMIT, MLP


def flat_context(context: Tensor | None, context_dim: int, owner: str) -> Tensor | None:
    """A context as vectors ``(B, context_dim)``, clamped as all inputs of nets; None where ``context_dim`` is 0.

    Raises ContextError, naming ``owner``, for a context of another size.
    """
    given = 0 if context is None else context.flatten(1).shape[1]
    if given != context_dim:
        raise ContextError(f"this {owner} takes a context of {context_dim} numbers, got {given}")
    return None if context is None else context.flatten(1).clamp(-INPUT_LIMIT, INPUT_LIMIT)


class ContextParameters(nn.Module):
    """Learned parameters that start at ``start: (n,)``, plus a net's output for the context, which starts at 0.

    Called with a context ``(B, *context_shape)`` of ``context_dim`` numbers a row it returns ``(n, B)``; without one
    (``context_dim`` 0) it returns ``(n, 1)``, the same for all rows. Raises ContextError.

    >>> import torch
    >>> from pushforward.nets import ContextParameters
    >>> ContextParameters(torch.zeros(5), context_dim=2, hidden=(8,))(torch.randn(3, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self, start: Tensor, context_dim: int = 0, hidden: Sequence[int] = (128, 128), activation: str = "relu"
    ) -> None:
        super().__init__()
        self.context_dim = context_dim
        self.values = nn.Parameter(start)
        self.net = MLP(context_dim, len(start), hidden, activation=activation) if context_dim else None

    def forward(self, context: Tensor | None = None) -> Tensor:
        context = flat_context(context, self.context_dim, "transform")
        values = self.values[:, None]
        if context is None or self.net is None:
            return values
        from_context: Tensor = self.net(context)
        return values + from_context.t()
