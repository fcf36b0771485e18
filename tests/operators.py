"""The whole matrices of linear layers, written from their definitions."""

import numpy as np
from numpy.typing import NDArray

from pushforward.nets.lipschitz import LipschitzConv2d, LipschitzLayer


def operator_matrix(layer: LipschitzLayer) -> NDArray[np.float64]:
    """The whole matrix of a layer before it is scaled, a convolution's entry by entry from its definition."""
    weight = layer.weight.detach().double().numpy()
    if not isinstance(layer, LipschitzConv2d):
        return weight
    (channels, height, width), (outputs, *_) = layer.right.shape, layer.left.shape
    matrix = np.zeros((outputs, height, width, channels, height, width))
    middle = weight.shape[2] // 2
    for row in range(height):
        for column in range(width):
            for down in range(weight.shape[2]):
                for right in range(weight.shape[3]):
                    i, j = row + down - middle, column + right - middle
                    if 0 <= i < height and 0 <= j < width:
                        matrix[:, row, column, :, i, j] = weight[:, :, down, right]
    return matrix.reshape(outputs * height * width, -1)
