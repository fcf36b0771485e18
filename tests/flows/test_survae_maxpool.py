"""SurVAE flow with max pooling: its scales, its log term by another route, what training gains, what it refuses."""

import math

import pytest
import torch
from torch.nn.functional import max_pool2d

from pushforward import check, fit
from pushforward import noise as noise_source
from pushforward.errors import OptionError, ShapeError
from pushforward.flows import build
from pushforward.training import TrainingOptions
from pushforward.transforms import MaxPool2d
from surjective import jacobian_of_latent_and_noise

_SMALL = {"transforms": 1, "channels": 4}


def _pools(flow: torch.nn.Module) -> list[tuple[int, ...]]:
    return [m.data_shape for m in flow.modules() if isinstance(m, MaxPool2d)]


@pytest.mark.parametrize(
    ("shape", "pools", "latent"),
    [
        ((1, 8, 8), [(4, 4, 4)], (4, 2, 2)),
        ((1, 28, 28), [(4, 14, 14)], (4, 7, 7)),
        ((3, 32, 32), [(12, 16, 16), (12, 8, 8)], (12, 4, 4)),
        ((1, 4, 4), [(4, 2, 2)], (4, 1, 1)),
        ((2, 8, 12), [(8, 4, 6)], (8, 2, 3)),
    ],
)
def test_scales_follow_the_size_of_the_image(
    shape: tuple[int, ...], pools: list[tuple[int, ...]], latent: tuple[int, ...]
) -> None:
    flow = build("survae_maxpool", shape, **_SMALL)
    assert _pools(flow) == pools
    assert flow.transform.latent_shape == latent
    assert flow.kind == "exact"


def test_it_begins_with_the_maxima_of_the_squeezed_image() -> None:
    flow = build("survae_maxpool", (1, 8, 8), standardise=False, linear="none", **_SMALL).eval()
    x = torch.randn(5, 1, 8, 8)
    parts = torch.stack([x[:, 0, i::2, j::2] for i in range(2) for j in range(2)], 1)
    torch.testing.assert_close(flow.encode(x), max_pool2d(parts, 2))


def test_the_log_term_of_the_way_back_is_the_jacobian_of_latent_and_noise() -> None:
    torch.manual_seed(0)
    flow = build("survae_maxpool", (1, 8, 8), context_dim=2, **_SMALL)
    flow.initialise(torch.randn(64, 1, 8, 8), torch.randn(64, 2))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    flow = flow.double().eval()
    generator = torch.Generator().manual_seed(1)
    z, context = torch.randn(2, 4, 2, 2, generator=generator).double(), torch.randn(2, 2, generator=generator).double()
    back = noise_source.draw(flow.transform.noise_to_data, 2, torch.float64, flow.device, generator)
    with torch.no_grad():
        _, log_term = flow.transform.to_data(z, context, back)
    for row in range(2):
        found, log_noise = jacobian_of_latent_and_noise(flow.transform, z[row], back, row, context[row : row + 1])
        # Sixteen maxima, each in one of four places.
        assert float(log_term[row]) == pytest.approx(float(found) - log_noise + 16 * math.log(4), abs=1e-8)


def _strokes(n: int, seed: int) -> torch.Tensor:
    """Bright squares on a dark ground, as integers 0..16."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(8)[None, :, None]
    at, size = torch.randint(0, 5, (n, 2), generator=generator), torch.randint(2, 4, (n,), generator=generator)
    offsets = [r - at[:, i, None, None] for i, r in enumerate((rows, rows.mT))]
    down, across = ((d >= 0) & (d < size[:, None, None]) for d in offsets)
    bright = (down & across).float()
    noise = torch.rand(n, 8, 8, generator=generator)
    return (1 + 12 * bright + 3 * noise).floor()[:, None]


def test_it_trains_and_passes_its_checks() -> None:
    torch.manual_seed(0)
    x, test = _strokes(400, 0), _strokes(200, 1)
    flow = build("survae_maxpool", (1, 8, 8), levels=17, transforms=2, channels=8)
    before = flow.likelihood(test).value.mean()
    fit(flow, x, options=TrainingOptions(steps=60, lr=3e-3), progress=False)
    found = flow.likelihood(test)
    assert found.kind == "bound", "of dequantised data; pooling itself loses nothing"
    assert found.value.mean() > before + 50
    report = check(flow, test, rows=32)
    assert report.passed, str(report)
    names = [line.name for line in report.lines]
    assert "latent of data -> data -> latent, float64" in names
    drawn = flow.sample(64, generator=torch.Generator().manual_seed(0))
    assert ((drawn >= 0) & (drawn <= 16) & (drawn == drawn.round())).all()
    # Given the latent the pixels below the maxima are drawn: alike where it matters, and not the same.
    again = flow.decode(flow.encode(test, generator=torch.Generator().manual_seed(2)))
    assert not torch.equal(again, test)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"images, event_shape \(channels, height, width\), expected, got \(3,\)"):
        build("survae_maxpool", (3,))
    for side in (5, 6):
        with pytest.raises(ShapeError, match=f"need sides divisible by 4, got {side} x 8; pad, crop or resize"):
            build("survae_maxpool", (1, side, 8))
    with pytest.raises(ShapeError, match=r"divisible by 8, got 28 x 28; choose fewer scales"):
        build("survae_maxpool", (1, 28, 28), scales=3)
    with pytest.raises(OptionError, match=r"option scales: .* greater than or equal to 2"):
        build("survae_maxpool", (1, 8, 8), scales=1)
    with pytest.raises(OptionError, match=r"option bins=3 has no use here: .* map is 'affine'"):
        build("survae_maxpool", (1, 8, 8), bins=3)
