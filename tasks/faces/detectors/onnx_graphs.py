"""MTCNN's three networks as ONNX graphs, optimised for ONNX Runtime on one core.

Its convolutions reach the core's peak on channels in blocks of 16, so channels are padded to whole blocks with zeros.
Its PReLU takes longer than the convolution before it, since it branches on every sign. Here PReLU is
a x + (1 - a) max(x, 0), two multiplications per channel in the same blocks: the third network takes 0.3 ms a crop
instead of 0.6. The input scaling is part of the first weights. Outputs equal torch's up to rounding.

The first output of every graph is the logit of a face (the difference of the network's two); the others follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tasks.faces.detectors.shipped_parts import Floats, Layer

Net = Mapping[str, Layer]

_BLOCK = 16
# Colours of 0 to 255 reach the networks as (colour - 127.5) / 128.
_MIDDLE, _RANGE = 127.5, 128.0


class _Graph:
    """A graph under construction; each step takes the name of a tensor and returns the next one's."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def step(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, values: Floats) -> str:
        name = f"weight{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def model(self, output: str, **inputs: Sequence[str | int]) -> ModelProto:
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "mtcnn", given, [answer], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def colours(self, conv: Layer, prelu: Layer) -> str:
        """The first convolution, of the unscaled input `colours` [n, height, width, 3]."""
        weight = conv.weight / _RANGE
        planes = self.step("Transpose", "colours", perm=[0, 3, 1, 2])
        return self._bent(self._conv(planes, weight, conv.bias - _MIDDLE * weight.sum(axis=(1, 2, 3))), prelu)

    def layer(self, seen: str, conv: Layer, prelu: Layer) -> str:
        filled = ((0, 0), (0, -conv.weight.shape[1] % _BLOCK), (0, 0), (0, 0))
        return self._bent(self._conv(seen, np.pad(conv.weight, filled), conv.bias), prelu)

    def pooled(self, seen: str, side: int) -> str:
        return self.step("MaxPool", seen, kernel_shape=[side, side], strides=[2, 2], ceil_mode=1)

    def dense(self, seen: str, linear: Layer, prelu: Layer) -> str:
        """The dense layer on [n, channels, 3, 3], which facenet-pytorch flattens by width, height, channel."""
        num = len(linear.weight)
        turned = linear.weight.reshape(num, 3, 3, -1).transpose(0, 3, 2, 1).reshape(num, -1)
        flat = self.step("Flatten", seen)
        values = self.step("Gemm", flat, self.weight(turned), self.weight(linear.bias), transB=1)
        positive = self.step("Mul", self.step("Relu", values), self.weight(1 - prelu.weight))
        return self.step("Add", self.step("Mul", values, self.weight(prelu.weight)), positive)

    def heads(self, seen: str, logits: Layer, *others: Layer) -> str:
        """One layer in place of several: the logit of a face, then the other outputs."""
        weight = np.concatenate((np.diff(logits.weight, axis=0), *(one.weight for one in others)))
        bias = np.concatenate((np.diff(logits.bias), *(one.bias for one in others)))
        if weight.ndim == 2:
            return self.step("Gemm", seen, self.weight(weight), self.weight(bias), transB=1)
        return self.step("Conv", seen, self.weight(weight), self.weight(bias))

    def _conv(self, seen: str, weight: Floats, bias: Floats) -> str:
        spare = -len(weight) % _BLOCK
        weight, bias = np.pad(weight, ((0, spare), (0, 0), (0, 0), (0, 0))), np.pad(bias, (0, spare))
        return self.step("Conv", seen, self.weight(weight), self.weight(bias))

    def _bent(self, seen: str, prelu: Layer) -> str:
        slope = np.pad(prelu.weight, (0, -len(prelu.weight) % _BLOCK))
        positive = self._times(self.step("Relu", seen), 1 - slope)
        return self.step("Add", self._times(seen, slope), positive)

    def _times(self, seen: str, factors: Floats) -> str:
        return self.step("Conv", seen, self.weight(factors.reshape(-1, 1, 1, 1)), group=len(factors))


def first_graph(net: Net) -> ModelProto:
    """[n, 5, ...] from `colours` [n, height, width, 3] and `edges` [n, 1, height - 2, width - 2] (`pyramid.edges`)."""
    graph = _Graph()
    seen = graph.colours(net["conv1"], net["prelu1"])
    edges = graph.step("Conv", "edges", graph.weight(np.ones((_BLOCK, 1, 1, 1), np.float32)))
    seen = graph.pooled(graph.step("Add", edges, seen), 2)
    seen = graph.layer(graph.layer(seen, net["conv2"], net["prelu2"]), net["conv3"], net["prelu3"])
    answer = graph.heads(seen, net["conv4_1"], net["conv4_2"])
    return graph.model(answer, colours=("n", "height", "width", 3), edges=("n", 1, "rows", "columns"))


def second_graph(net: Net) -> ModelProto:
    """[n, 5] from `colours` [n, 24, 24, 3]: logit and shares to move the edges by."""
    graph = _Graph()
    seen = graph.pooled(graph.colours(net["conv1"], net["prelu1"]), 3)
    seen = graph.pooled(graph.layer(seen, net["conv2"], net["prelu2"]), 3)
    seen = graph.dense(graph.layer(seen, net["conv3"], net["prelu3"]), net["dense4"], net["prelu4"])
    return graph.model(graph.heads(seen, net["dense5_1"], net["dense5_2"]), colours=("n", 24, 24, 3))


def third_graph(net: Net) -> ModelProto:
    """[n, 15] from `colours` [n, 48, 48, 3]: logit, shares to move the edges by, five x and five y."""
    graph = _Graph()
    seen = graph.pooled(graph.colours(net["conv1"], net["prelu1"]), 3)
    seen = graph.pooled(graph.layer(seen, net["conv2"], net["prelu2"]), 3)
    seen = graph.pooled(graph.layer(seen, net["conv3"], net["prelu3"]), 2)
    seen = graph.dense(graph.layer(seen, net["conv4"], net["prelu4"]), net["dense5"], net["prelu5"])
    return graph.model(graph.heads(seen, net["dense6_1"], net["dense6_2"], net["dense6_3"]), colours=("n", 48, 48, 3))
