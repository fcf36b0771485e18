"""Masked convolutions in numpy, pixel by pixel and from the equations, with the same weights."""

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from checking import golden
from entries.macow import masked_conv
from pushforward.nets.row_conv import Side
from pushforward.transforms import Autoregressive
from registry import BY_NAME
from subjects import subject

Array = npt.NDArray[np.float64]


def _tap(image: Array, side: str, pixel: tuple[int, int], back: int, aside: int) -> Array:
    """The channels ``back`` rows nearer to the side and ``aside`` pixels along the row, 0 beyond the border."""
    row, column = pixel
    row, column = {
        "top": (row - back, column + aside),
        "bottom": (row + back, column + aside),
        "left": (row + aside, column - back),
        "right": (row + aside, column + back),
    }[side]
    inside = 0 <= row < image.shape[1] and 0 <= column < image.shape[2]
    return image[:, row, column] if inside else np.zeros(len(image))


def _parameters(w: dict[str, Array], image: Array, side: str, pixel: tuple[int, int], context: Array | None) -> Array:
    """Shifts and log-scales of a pixel's channels, ``(2, C)``."""
    filters = w["first.weight"]
    _, _, rows, width = filters.shape
    h = w["first.bias"].copy()
    for k in range(rows):
        for j in range(width):
            # The last row of a filter lies on the row just before the pixel's own.
            h += filters[:, :, k, j] @ _tap(image, side, pixel, rows - k, j - width // 2)
    h = w["second.weight"][:, :, 0, 0] @ np.tanh(h) + w["second.bias"]
    if context is not None:
        h += w["context.weight"] @ context + w["context.bias"]
    out = w["last.weight"][:, :, 0, 0] @ np.tanh(h) + w["last.bias"]
    shift, raw = out.reshape(2, -1)
    return np.stack([shift, raw / (1 + np.abs(raw) / 5)])


def _assert_both_ways(layer: Autoregressive, x: Tensor, context: Tensor | None) -> None:
    w = {name: value.detach().numpy() for name, value in layer.net.state_dict().items()}
    images, latents, log_dets = x.numpy(), np.zeros(x.shape), np.zeros(len(x))
    for b, image in enumerate(images):
        for i in range(image.shape[1]):
            for j in range(image.shape[2]):
                given = None if context is None else context[b].numpy()
                shift, log_scale = _parameters(w, image, layer.net.side, (i, j), given)
                latents[b, :, i, j] = image[:, i, j] * np.exp(log_scale) + shift
                log_dets[b] += log_scale.sum()
    z, log_term = layer.to_latent(x, context)
    np.testing.assert_allclose(z.detach().numpy(), latents, atol=1e-10)
    np.testing.assert_allclose(log_term.detach().numpy(), log_dets, atol=1e-10)
    back, back_term = layer.to_data(torch.from_numpy(latents), context)
    np.testing.assert_allclose(back.detach().numpy(), images, atol=1e-10)
    np.testing.assert_allclose(back_term.detach().numpy(), -log_dets, atol=1e-10)


@pytest.mark.parametrize("name", ["masked convolution", "masked convolution, right, context"])
@golden("transform: masked convolution", "transform: masked convolution, right, context")
def test_masked_convolution_is_section_3_1_of_macow(name: str) -> None:
    made = subject(BY_NAME[f"transform: {name}"])
    assert isinstance(made.transform, Autoregressive)
    _assert_both_ways(made.transform, made.data(5), made.context(5))


@pytest.mark.parametrize("kernel", [(1, 1), (2, 5), (3, 3)], ids=str)
@pytest.mark.parametrize("side", get_args(Side))
def test_masked_convolution_from_each_side_is_the_sum_over_its_taps(side: Side, kernel: tuple[int, int]) -> None:
    layer, generator = masked_conv((2, 4, 5), kernel, side).double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    _assert_both_ways(layer, torch.randn(2, 2, 4, 5, dtype=torch.float64, generator=generator), None)
