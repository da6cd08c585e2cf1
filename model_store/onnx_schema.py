"""Fields of the messages of an ONNX file, as ``onnx.proto3`` numbers them (ONNX IR version 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from model_store.protobuf import Kind

Schema: TypeAlias = Mapping[int, tuple[str, Kind]]

ENTRY: Schema = {1: ("domain", "bytes"), 2: ("version", "int")}
MODEL: Schema = {
    1: ("ir_version", "int"), 2: ("producer_name", "bytes"), 3: ("producer_version", "bytes"),
    4: ("domain", "bytes"), 5: ("model_version", "int"), 6: ("doc_string", "bytes"),
    7: ("graph", "bytes"), 8: ("opset_import", "messages"), 14: ("metadata_props", "messages"),
    20: ("training_info", "messages"), 25: ("functions", "messages"),
}  # fmt: skip
GRAPH: Schema = {
    1: ("node", "messages"), 2: ("name", "bytes"), 5: ("initializer", "messages"),
    10: ("doc_string", "bytes"), 11: ("input", "messages"), 12: ("output", "messages"),
    13: ("value_info", "messages"), 16: ("metadata_props", "messages"),
}  # fmt: skip
NODE: Schema = {
    1: ("input", "messages"), 2: ("output", "messages"), 3: ("name", "bytes"),
    4: ("op_type", "bytes"), 5: ("attribute", "messages"), 6: ("doc_string", "bytes"),
    7: ("domain", "bytes"), 9: ("metadata_props", "messages"),
}  # fmt: skip
ATTRIBUTE: Schema = {
    1: ("name", "bytes"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"),
    5: ("t", "bytes"), 6: ("g", "bytes"), 7: ("floats", "floats"), 8: ("ints", "ints"),
    11: ("graphs", "messages"), 13: ("doc_string", "bytes"), 20: ("type", "int"),
}  # fmt: skip
TENSOR: Schema = {
    1: ("dims", "ints"), 2: ("data_type", "int"), 4: ("float_data", "floats"),
    5: ("int32_data", "ints"), 7: ("int64_data", "ints"), 8: ("name", "bytes"),
    9: ("raw_data", "bytes"), 12: ("doc_string", "bytes"), 13: ("external_data", "messages"),
    16: ("metadata_props", "messages"),
    14: ("data_location", "int"),
}  # fmt: skip
PORT: Schema = {
    1: ("name", "bytes"), 2: ("type", "bytes"), 3: ("doc_string", "bytes"),
    4: ("metadata_props", "messages"),
}  # fmt: skip
TYPE: Schema = {1: ("tensor_type", "bytes"), 6: ("denotation", "bytes")}
TENSOR_TYPE: Schema = {1: ("elem_type", "int"), 2: ("shape", "bytes")}
SHAPE: Schema = {1: ("dim", "messages")}
DIMENSION: Schema = {1: ("value", "int"), 2: ("name", "bytes"), 3: ("denotation", "bytes")}
