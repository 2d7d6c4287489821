"""Replacement of a network's activation functions."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

# "paper" keeps the network's own. PReLU must keep its input for the slope's gradient, ReLU only its output, which the
# next layer keeps anyway: on a CPU MobileFaceNet trains 1.5 times as fast with ReLU.
ACTIVATIONS: dict[str, Callable[[], nn.Module] | None] = {
    "paper": None,
    "relu": lambda: nn.ReLU(inplace=True),
    "hardswish": nn.Hardswish,
}
_REPLACED = (nn.PReLU, nn.ReLU, nn.Hardswish)


def set_activations(network: nn.Module, name: str) -> nn.Module:
    """Replace all activations of `network` by those of `name`, a key of `ACTIVATIONS`."""
    make = ACTIVATIONS[name]
    if make is not None:
        for parent in list(network.modules()):
            for place, child in list(parent.named_children()):
                if isinstance(child, _REPLACED):
                    parent.add_module(place, make())
    return network
