"""Writes an ONNX graph node by node: operators, constants, conditions, inputs and outputs.

This file knows operators and no networks. As in ONNX, a value is the name of a tensor in the graph. The operators are
those of opset 20, the first that has the exact GELU. ONNX Runtime computes them since version 1.17.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 20
IR_VERSION = 9  # belongs to opset 20; older runtimes would refuse a model with a newer one
FLOAT = TensorProto.FLOAT  # for attributes that name a type
Dim = int | str  # a string names a size that each run may choose

_TYPES = {"float": FLOAT, "bool": TensorProto.BOOL}


class Graph:
    """A graph under construction.

    The two branches of a condition are graphs too. They share the names and constants of the graph around them.

    Attributes:
        int8: whether products with frozen weights are computed in int8.
    """

    def __init__(self, outer: "Graph | None" = None, *, int8: bool = False) -> None:
        """An empty graph, or one branch of a condition in `outer`."""
        self.int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[str, onnx.TensorProto] = outer._constants if outer else {}
        self._ints: dict[tuple[int, ...], str] = outer._ints if outer else {}
        self._count: list[int] = outer._count if outer else [0]

    def input(self, name: str, shape: Sequence[Dim], *, dtype: str = "float") -> str:
        """Declare an input tensor. `dtype` is "float" or "bool"."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))
        return name

    def output(self, name: str, value: str, shape: Sequence[Dim]) -> None:
        """Declare `value` as the float32 output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def op(self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        """Add an operator with one output, and return this output."""
        name = self._name(kind)
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **(attributes or {})))
        return name

    def quantise(self, x: str) -> tuple[str, str, str]:
        """`x` in uint8, its scale and its zero point. Each run computes them from its data."""
        name = self._name("DynamicQuantizeLinear")
        outputs = (name, f"{name}.scale", f"{name}.zero")
        self._nodes.append(helper.make_node("DynamicQuantizeLinear", [x], outputs, name=name))
        return outputs

    def weight(self, tensor: Tensor) -> str:
        """A constant in float32."""
        return self._constant("weight", tensor.detach().float().numpy())

    def int8_weight(self, tensor: Tensor) -> str:
        """A constant in int8."""
        return self._constant("weight", tensor.numpy())

    def number(self, value: float) -> str:
        """A constant scalar in float32."""
        return self._constant("number", np.float32(value))

    def ints(self, values: Sequence[int]) -> str:
        """A constant vector of int64: a shape, axes, or indices. Equal vectors share one constant."""
        # A runtime merges equal operators only if they read constants of the same name.
        key = tuple(values)
        if key not in self._ints:
            self._ints[key] = self._constant("ints", np.asarray(values, np.int64))
        return self._ints[key]

    def choose(self, condition: str, yes: "Graph", no: "Graph") -> str:
        """The output of `yes` if the scalar `condition` is true, else that of `no`. A run computes one of the two.

        Make both with `Graph(outer)`. They may read every value of the graph around them.
        """
        branches = {"then_branch": yes._proto("yes"), "else_branch": no._proto("no")}
        return self.op("If", [condition], branches)

    def result(self, value: str) -> None:
        """Make `value` the only output of this branch of a condition."""
        # ONNX requires the type here and infers the shape.
        self._outputs = [helper.make_tensor_value_info(value, FLOAT, None)]

    def model(self, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The finished graph, with `metadata` beside it."""
        graph = self._proto(name)
        graph.initializer.extend(self._constants.values())
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="mimi-serving")
        helper.set_model_props(model, dict(metadata))
        return model

    def _proto(self, name: str) -> onnx.GraphProto:
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs)

    def _name(self, kind: str) -> str:
        self._count[0] += 1
        return f"{kind}.{self._count[0]}"

    def _constant(self, kind: str, value: np.ndarray | np.generic) -> str:
        name = self._name(kind)
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return name
