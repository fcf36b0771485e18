"""Marginal Gaussianization: of all coordinates, or of the projections that are least normal."""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from pushforward.errors import OptionError
from pushforward.events import sum_event
from pushforward.maps.gaussianization import normal_scores
from pushforward.maps.stored_spline import StoredSpline
from pushforward.option_checks import at_least_one
from pushforward.precision import full_precision, in_float64
from pushforward.transforms.greedy import GreedyTransform
from pushforward.transforms.reflections import householder, reflections

RotationName: TypeAlias = Literal["pca", "ica", "random"]
# Largest number of rows from which directions are computed.
_ROWS = 5000
_ICA_STEPS = 50
_TRIED, _ASCENT = 100, 30
_FILTERS = Lock()


class MarginalGaussianization(GreedyTransform):
    """One iteration of RBIG: a spline through its quantiles makes every coordinate normal, then a rotation follows.

    rotation: ``pca``, to the axes of the covariance, or at random where it shows none; ``ica``, to the orthogonal axes
    that scikit-learn's FastICA finds; ``random``. The rotation adds nothing to the log term and gives the next
    iteration other marginals. damping: fraction of the identity in the splines, with which they follow the training
    rows less closely.

    Source: Laparra, Camps-Valls & Malo, "Iterative Gaussianization: from ICA to random rotations", 2011.

    >>> import torch
    >>> from pushforward.transforms import MarginalGaussianization
    >>> step, x = MarginalGaussianization(2, bins=8), torch.rand(500, 2)
    >>> step.fit(x, None, torch.Generator().manual_seed(0))
    >>> z, _ = step.to_latent(x)
    >>> bool((z.std(0) - 1).abs().max() < 0.2)
    True
    """

    def __init__(self, features: int, bins: int = 32, rotation: RotationName = "pca", damping: float = 0.0) -> None:
        super().__init__(features)
        self.damping = _checked_damping(damping)
        if rotation not in get_args(RotationName):
            raise OptionError(
                f"rotation {rotation!r} is not known; expected one of {', '.join(get_args(RotationName))}"
            )
        self.map, self.rotation = StoredSpline(features, bins), rotation
        self.packed = nn.Buffer(torch.zeros(features, features))

    def extra_repr(self) -> str:
        return f"rotation={self.rotation}" + (f", damping={self.damping:g}" if self.damping else "")

    def run(self, v: Tensor, context: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        with full_precision(v):
            v = v.to(self.packed.dtype)
            axes = householder(self.packed)
            if back:
                x, log_slope = self.map.inverse(v @ axes.T, _no_params(v))
                return x, sum_event(log_slope)
            y, log_slope = self.map(v, _no_params(v))
            return y @ axes, sum_event(log_slope)

    def fit_layer(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        self.map.store(normal_scores(z, self.map.bins, self.damping))
        y = in_float64(self.map(z, _no_params(z))[0])
        self.packed.copy_(reflections(_axes(y, self.rotation, generator)))


class SlicedGaussianization(GreedyTransform):
    """``z = x + A (psi(A^T x) - A^T x)``: splines ``psi`` along ``directions`` orthonormal columns of ``A``, in which
    the latents are furthest from normal; components orthogonal to them do not change. The log term is ``sum log psi'``.

    The distance is the 2-Wasserstein distance of a projection from the standard normal, its sum over the directions
    maximised by gradient ascent over orthonormal columns.

    damping: fraction of the identity in ``psi``, the paper's regularisation: smaller steps, in more directions, follow
    the training rows less closely.

    Source: Dai & Seljak, "Sliced iterative normalizing flows", 2021.

    >>> import torch
    >>> from pushforward.transforms import SlicedGaussianization
    >>> step, x = SlicedGaussianization(3, directions=2, bins=8), torch.rand(500, 3)
    >>> step.fit(x, None, torch.Generator().manual_seed(0))
    >>> step.to_latent(x)[0].shape
    torch.Size([500, 3])
    """

    def __init__(self, features: int, directions: int = 8, bins: int = 32, damping: float = 0.0) -> None:
        super().__init__(features)
        self.directions, self.damping = min(at_least_one(directions, "directions"), features), _checked_damping(damping)
        self.map = StoredSpline(self.directions, bins)
        self.packed = nn.Buffer(torch.zeros(features, self.directions))

    def extra_repr(self) -> str:
        return f"directions={self.directions}" + (f", damping={self.damping:g}" if self.damping else "")

    def run(self, v: Tensor, context: Tensor | None, back: bool) -> tuple[Tensor, Tensor]:
        with full_precision(v):
            v = v.to(self.packed.dtype)
            frame = householder(self.packed)
            before = v @ frame
            after, log_slope = (self.map.inverse if back else self.map)(before, _no_params(before))
            return v + (after - before) @ frame.T, sum_event(log_slope)

    def fit_layer(self, z: Tensor, context: Tensor | None, generator: torch.Generator) -> None:
        self.along(sliced_frame(_subsample(in_float64(z), generator), self.directions, generator), z)

    @torch.no_grad()
    def along(self, frame: Tensor, z: Tensor) -> None:
        """Set the state for these directions, orthonormal columns ``frame: (features, directions)``."""
        self.packed.copy_(reflections(in_float64(frame)))
        projected = in_float64(z) @ householder(in_float64(self.packed))
        self.map.store(normal_scores(projected, self.map.bins, self.damping))


def sliced_frame(z: Tensor, directions: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns (D, directions) along which ``z: (N, D)`` is far from standard normal.

    Starts from the furthest of many random directions, by gradient ascent with the QR decomposition as retraction; a
    step that does not increase the distance is halved.
    """
    features = z.shape[1]
    tried = torch.randn(features, max(_TRIED, 2 * features), dtype=torch.float64, generator=generator).to(z.device)
    tried = torch.cat([torch.eye(features, dtype=z.dtype, device=z.device), tried / tried.norm(dim=0)], 1)
    distances, _ = _wasserstein(z, tried)
    frame = _orthonormal(tried[:, distances.argsort(descending=True)[: 4 * directions]], directions)
    if directions == features == 1:
        return frame
    distances, uphill = _wasserstein(z, frame)
    stride = 1.0
    for _ in range(_ASCENT):
        moved = _orthonormal(frame + stride * uphill, directions)
        further, next_uphill = _wasserstein(z, moved)
        if further.sum() > distances.sum():
            gained = float(further.sum() / distances.sum()) - 1
            frame, distances, uphill, stride = moved, further, next_uphill, 1.5 * stride
            if gained < 1e-4:
                break
        else:
            stride /= 4
            if stride < 1e-3:
                break
    return frame


def _wasserstein(z: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Squared 2-Wasserstein distance from the standard normal of the projections on each column, and its gradient."""
    projected = z @ frame
    steps = torch.arange(len(z), dtype=z.dtype, device=z.device)
    normal = torch.special.ndtri((steps + 0.5) / len(z))[:, None].expand_as(projected)
    target = torch.empty_like(projected).scatter_(0, projected.argsort(0), normal)
    gap = projected - target
    return gap.square().mean(0), 2 * (z.T @ gap) / len(z)


def _orthonormal(columns: Tensor, count: int) -> Tensor:
    """The first ``count`` vectors of an orthonormal basis made of ``columns`` in order, with their signs."""
    q, r = torch.linalg.qr(columns, mode="complete")
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0).to(q.dtype)
    frame: Tensor = q[:, :count] * signs[:count]
    return frame


def _checked_damping(damping: float) -> float:
    if not 0 <= damping < 1:
        raise OptionError(f"damping must lie in [0, 1), got {damping}")
    return float(damping)


def _axes(y: Tensor, rotation: RotationName, generator: torch.Generator) -> Tensor:
    """The orthonormal columns (D, D) of a rotation of ``y: (N, D)``."""
    count, features = y.shape
    if features == 1:
        return torch.ones(1, 1, dtype=y.dtype, device=y.device)
    y = y - y.mean(0)
    variances, axes = torch.linalg.eigh(y.T @ y / count)
    if rotation == "ica":
        white = _subsample(y, generator) @ axes / variances.clamp(min=1e-12).sqrt()
        axes = axes @ _independent(white, generator)
    # The variances of independent coordinates differ by this much by chance.
    threshold = 3 * (features / count) ** 0.5 * variances.mean()
    if rotation == "random" or (rotation == "pca" and bool(variances[-1] - variances[0] <= threshold)):
        random = torch.randn(features, features, dtype=torch.float64, generator=generator)
        axes = torch.linalg.qr(random.to(y.device)).Q
    rotation_axes: Tensor = axes
    return rotation_axes


def _independent(white: Tensor, generator: torch.Generator) -> Tensor:
    """The rotation (D, D) to the independent components of whitened rows; any rotation where ICA does not converge."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    seed = int(torch.randint(2**31, (), generator=generator))
    ica = FastICA(whiten=False, max_iter=_ICA_STEPS, tol=1e-3, random_state=seed)
    # The filters of warnings belong to the process: fits in several threads would put back each other's.
    with _FILTERS, warnings.catch_warnings():
        # Convergence is not needed: the next layer rotates again.
        warnings.simplefilter("ignore", ConvergenceWarning)
        ica.fit(white.cpu().numpy())
    unmixing = torch.from_numpy(ica.components_).to(white)
    left, _, right = torch.linalg.svd(unmixing.T)
    rotation: Tensor = left @ right
    return rotation


def _subsample(z: Tensor, generator: torch.Generator) -> Tensor:
    """A random subset of the rows, of at most the number from which directions are computed."""
    if len(z) <= _ROWS:
        return z
    return z[torch.randperm(len(z), generator=generator)[:_ROWS].to(z.device)]


def _no_params(x: Tensor) -> Tensor:
    """An empty tensor of parameters, for a map without any."""
    return x.new_zeros(0, *x.shape)
