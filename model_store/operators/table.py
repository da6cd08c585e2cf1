"""Which operators a graph may hold, in groups; and why some may not be there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from model_store.operators import elementwise, layers, products, shapes
from model_store.operators.value import Rule

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Convolution": layers.CONVOLUTIONS,
    "Pooling": layers.POOLING,
    "Other sizes, pixel shuffle, padding": layers.SIZES,
    "Normalisation": layers.NORMS,
    "Activation": elementwise.ACTIVATIONS,
    "Arithmetic": elementwise.ARITHMETIC,
    "Choice and type": elementwise.CHOICES,
    "Products of matrices (attention)": products.PRODUCTS,
    "Softmax": products.SOFTMAX,
    "Sums along axes": products.REDUCTIONS,
    "Other shapes, parts and joints": shapes.MOVING,
    "Constants and sizes": shapes.SIZES,
}
"""Title to operators, as the reference page lists them."""

RULES: Final[Mapping[str, Rule]] = {
    **elementwise.RULES, **layers.RULES, **products.RULES, **shapes.RULES
}  # fmt: skip

OPERATORS: Final = frozenset(RULES)
"""What a graph may consist of."""

_GLOBAL = (
    "takes mean and deviation over the whole image, so that every pixel depends on every other: "
    "tiles would not fit together, and a bright implant in one corner would change the rest"
)
_CONTROL = "is control flow: what it runs, and for how long, cannot be seen beforehand"
_RANDOM = "draws random numbers: the same image would give another result each time"

WHY_NOT: Final[Mapping[str, str]] = {
    "InstanceNormalization": f"{_GLOBAL}; GroupNorm and InstanceNorm of torch are exported as it",
    "GroupNormalization": _GLOBAL,
    "MeanVarianceNormalization": _GLOBAL,
    "GlobalAveragePool": f"{_GLOBAL} (squeeze-and-excitation, channel attention)",
    "GlobalMaxPool": _GLOBAL,
    "GlobalLpPool": _GLOBAL,
    "If": _CONTROL,
    "Loop": _CONTROL,
    "Scan": _CONTROL,
    "SequenceMap": _CONTROL,
    "RandomNormal": _RANDOM,
    "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM,
    "RandomUniformLike": _RANDOM,
    "Bernoulli": _RANDOM,
    "Multinomial": _RANDOM,
    "Dropout": "is for training; export for inference, with model.eval()",
    "NonZero": "makes a tensor whose size depends on what is in the pixels",
    "Unique": "makes a tensor whose size depends on what is in the pixels",
    "Compress": "makes a tensor whose size depends on what is in the pixels",
    "QuantizeLinear": "rounds to 8 bits; a node makes reduced precision itself, and compares it",
    "DequantizeLinear": "is of 8-bit weights; a node makes reduced precision itself",
    "LSTM": "goes through the image one place after another, without an end to its reach",
    "GRU": "goes through the image one place after another, without an end to its reach",
    "RNN": "goes through the image one place after another, without an end to its reach",
}
"""Operators that are refused for a reason that is worth saying."""
