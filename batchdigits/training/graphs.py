"""ONNX graphs in a few lines: the nodes that recipes are built of."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from batchdigits.classifiers.runner import BATCH

OPSET = 17  # old enough for every onnxruntime of the last years, new enough for all that is used here
OPSET_ML = 3
IR_VERSION = 8


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of a value in the graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant."""
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output."""
        name = f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def add_ml(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of ONNX's operators for classical machine learning."""
        return self.add(operator, *inputs, domain="ai.onnx.ml", **attributes)

    def add_linear(self, rows: str, matrix: NDArray[np.floating], offset: NDArray[np.floating]) -> str:
        """Add ``rows @ matrix + offset``."""
        product = self.add("MatMul", rows, self.constant(matrix.astype(np.float32)))
        return self.add("Add", product, self.constant(offset.astype(np.float32)))

    def build(self, result: str, width: int) -> onnx.ModelProto:
        """Return the model from ``tiles`` (N, 28, 28) to `result` (N, width), checked."""
        name = "scores"
        self._nodes.append(helper.make_node("Identity", [result], [name], name))
        graph = helper.make_graph(
            self._nodes,
            "batchdigits",
            [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["N", 28, 28])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_ML)],
            ir_version=IR_VERSION,
            producer_name="batchdigits",
        )
        onnx.checker.check_model(model)
        return model


class GraphRunner:
    """Runs a graph over any number of tiles, in batches of the size that will serve.

    Parameters
    ----------
    model : onnx.ModelProto
        As `GraphBuilder.build` makes it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # as in use
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._width = self._session.get_outputs()[0].shape[1]

    def __call__(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (N, width) results of (N, 28, 28) tiles."""
        padded = np.concatenate([tiles, np.zeros((-len(tiles) % BATCH, 28, 28), np.float32)])
        out = np.empty((len(padded), self._width), np.float32)
        for start in range(0, len(padded), BATCH):
            (out[start : start + BATCH],) = self._session.run(None, {"tiles": padded[start : start + BATCH]})
        return out[: len(tiles)]
