"""Layers that several generators and critics are made of."""

from __future__ import annotations

from torch import nn


def he_conv(inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> nn.Conv2d:
    """A convolution with zero "same" padding, He-normal weights for ReLU, biases zero."""
    return he_initialised(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias))


def he_initialised(conv: nn.Conv2d) -> nn.Conv2d:
    """Draw He-normal weights for ReLU and set the biases to zero, in place."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
