"""Writes operators.json: one-node ONNX models over several opsets, inputs, and what onnxruntime answers.

Run by hand with onnx, onnxruntime and numpy installed: python3 make.py
Where onnxruntime has no kernel for an opset, ONNX's own reference evaluator answers instead.
"""

import base64
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(1)
cases = []


def numbers(*shape):
    return np.round(rng.uniform(-2, 2, shape), 2).astype(np.float32)


def case(op, opset, inputs, constants=(), outputs=1, **attributes):
    """`inputs` are given at run time, `constants` are initialisers (None: left out), in the node's order."""
    names, feeds, initializers, infos = [], {}, [], []
    for i, array in enumerate(list(inputs) + list(constants)):
        if array is None:
            names.append("")
            continue
        array = np.asarray(array)
        names.append(f"i{i}")
        if i < len(inputs):
            feeds[f"i{i}"] = array
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            # A batch of two is symbolic, so that binding is exercised too.
            shape = ["batch" if axis == 0 and size == 2 else size for axis, size in enumerate(array.shape)]
            infos.append(helper.make_tensor_value_info(f"i{i}", kind, shape))
        else:
            initializers.append(numpy_helper.from_array(array, f"i{i}"))
    node = helper.make_node(op, names, [f"o{i}" for i in range(outputs)], name=f"{op}_node", **attributes)
    made = [helper.make_tensor_value_info(f"o{i}", TensorProto.FLOAT, None) for i in range(outputs)]
    graph = helper.make_graph([node], "case", infos, made, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data = model.SerializeToString()
    try:
        expected = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)
        source = "onnxruntime"
    except Exception:
        expected = ReferenceEvaluator(model).run(None, feeds)
        source = "onnx.reference"
    encode = lambda data: base64.b64encode(data).decode()
    pack = lambda a: {"shape": list(a.shape), "f32": encode(np.asarray(a, "<f4").tobytes())}
    cases.append({
        "name": f"{op}-{opset} {attributes}",
        "source": source,
        "model": encode(data),
        "inputs": [pack(a) for a in feeds.values()],
        "outputs": [pack(np.asarray(a)) for a in expected],
    })


def i64(*values):
    return np.array(values, np.int64)


for opset in (11, 13, 22):
    x = numbers(2, 3, 4)
    for op in ("Relu", "Sigmoid", "Tanh", "Identity"):
        case(op, opset, [x])
    case("LeakyRelu", opset, [x], alpha=0.3)
    case("HardSigmoid", opset, [x])
    case("HardSigmoid", opset, [x], alpha=0.3, beta=0.4)
    case("Clip", opset, [x], [np.float32(-0.5), np.float32(0.7)])
    case("Clip", opset, [x], [None, np.float32(0.7)])
    case("Clip", opset, [x], [np.float32(0.1)])
    case("Clip", opset, [x])
    for axis in (-1, 0, 1, 2):
        case("Softmax", opset, [x], axis=axis)
    case("Softmax", opset, [x])
    for op in ("Add", "Sub", "Mul", "Div"):
        case(op, opset, [x, numbers(2, 3, 4) + 3])
        case(op, opset, [x], [numbers(3, 1) + 3])
        case(op, opset, [numbers(1, 4), numbers(2, 3, 1) + 3])
        case(op, opset, [x], [np.float32(2.5)])
    case("MatMul", opset, [x], [numbers(4, 5)])
    case("MatMul", opset, [x, numbers(2, 4, 5)])
    case("MatMul", opset, [numbers(2, 1, 3, 4), numbers(3, 4, 2)])
    case("MatMul", opset, [numbers(4), numbers(4, 3)])
    case("MatMul", opset, [numbers(3, 4), numbers(4)])
    case("MatMul", opset, [numbers(4)], [numbers(4)])
    case("Gemm", opset, [numbers(3, 4)], [numbers(4, 5), numbers(5)])
    case("Gemm", opset, [numbers(4, 3)], [numbers(5, 4), numbers(3, 5)], transA=1, transB=1, alpha=0.5, beta=2.0)
    case("Gemm", opset, [numbers(3, 4), numbers(4, 5), numbers(3, 1)], alpha=0.25, beta=0.5)
    case("Gemm", opset, [numbers(3, 4), numbers(5, 4)], transB=1)
    case("Gemm", opset, [numbers(3, 4)], [numbers(4, 5), np.float32(1.5)], beta=3.0)
    case("Flatten", opset, [x])
    case("Flatten", opset, [x], axis=0)
    case("Flatten", opset, [x], axis=-1)
    case("Flatten", opset, [x], axis=3)
    case("Reshape", opset, [x], [i64(4, -1)])
    case("Reshape", opset, [x], [i64(0, 0, 2, 2)])
    case("Transpose", opset, [x])
    case("Transpose", opset, [x], perm=[1, 0, 2])
    case("Concat", opset, [x, numbers(2, 1, 4)], axis=1)
    case("Concat", opset, [x, numbers(2, 3, 2), numbers(2, 3, 1)], axis=-1)
    case("Pad", opset, [x], [i64(0, 1, 2, 0, 3, 1), np.float32(0.5)])
    case("Pad", opset, [x], [i64(0, -1, 1, 0, 2, -2)])
    case("Pad", opset, [x], [i64(0, 2, 3, 0, 1, 2)], mode="reflect")
    case("Pad", opset, [x], [i64(1, 2, 0, 1, 4, 5)], mode="edge")
    y = numbers(2, 1, 3, 1)
    if opset < 13:
        case("Squeeze", opset, [y], axes=[1, 3])
        case("Unsqueeze", opset, [x], axes=[0, 4])
    else:
        case("Squeeze", opset, [y], [i64(1, -1)])
        case("Unsqueeze", opset, [x], [i64(-1, 1)])
    case("Squeeze", opset, [y])
    case("Cast", opset, [(x * 50 + 100).astype(np.uint8)], to=TensorProto.FLOAT)
    case("Dropout", opset, [x])
    case("Constant", opset, [], value=numpy_helper.from_array(numbers(2, 2)))
    if opset >= 12:
        case("Constant", opset, [], value_floats=[1.5, 2.5])
    p = numbers(2, 3, 5, 4)
    case("GlobalAveragePool", opset, [p])
    case("GlobalAveragePool", opset, [x])
    for axes, keep in (([2, 3], 1), ([-1, -2], 0), ([1], 1), ([0, 2], 0)):
        if opset < 18:
            case("ReduceMean", opset, [p], axes=axes, keepdims=keep)
        else:
            case("ReduceMean", opset, [p], [i64(*axes)], keepdims=keep)
    case("ReduceMean", opset, [p])
    case("BatchNormalization", opset, [p], [numbers(3), numbers(3), numbers(3), np.abs(numbers(3)) + 0.1])
    case("BatchNormalization", opset, [x], [numbers(3), numbers(3), numbers(3), np.abs(numbers(3)) + 0.1], epsilon=0.1)
    for attributes in (
        dict(kernel_shape=[2, 3]),
        dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        dict(kernel_shape=[3, 2], strides=[2, 1], pads=[0, 1, 2, 0]),
        dict(kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        dict(kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1]),
        dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        dict(kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
        dict(kernel_shape=[2, 2], auto_pad="VALID"),
    ):
        case("MaxPool", opset, [numbers(1, 2, 7, 6)], **attributes)
        case("AveragePool", opset, [numbers(1, 2, 7, 6)], **attributes)
        # onnxruntime divides a last window that sticks out of the padding differently before opset 19.
        if "ceil_mode" not in attributes:
            case("AveragePool", opset, [numbers(1, 2, 7, 6)], count_include_pad=1, **attributes)
    case("MaxPool", opset, [numbers(1, 2, 7, 6)], kernel_shape=[2, 2], dilations=[2, 3])
    for shape, weight, attributes in (
        ((2, 3, 7, 6), (4, 3, 3, 3), {}),
        ((1, 3, 7, 6), (4, 3, 3, 2), dict(strides=[2, 1], pads=[1, 0, 2, 1])),
        ((1, 4, 7, 6), (6, 2, 3, 3), dict(group=2, pads=[1, 1, 1, 1])),
        ((1, 4, 9, 8), (4, 1, 3, 3), dict(group=4, pads=[2, 2, 2, 2], dilations=[2, 2])),
        ((1, 4, 9, 8), (8, 1, 3, 3), dict(group=4, strides=[2, 2])),
        ((1, 5, 9, 8), (5, 1, 5, 5), dict(group=5, strides=[2, 2], auto_pad="SAME_UPPER")),
        ((1, 2, 8, 7), (3, 2, 4, 4), dict(strides=[3, 2], auto_pad="SAME_LOWER")),
        ((1, 2, 8, 7), (3, 2, 3, 3), dict(auto_pad="VALID")),
        ((2, 4, 3, 3), (5, 4, 1, 1), {}),
        ((2, 4, 5, 5), (5, 4, 1, 1), dict(strides=[2, 2])),
        ((1, 2, 6, 6), (3, 2, 2, 3), dict(dilations=[3, 2], kernel_shape=[2, 3])),
    ):
        case("Conv", opset, [numbers(*shape)], [numbers(*weight)], **attributes)
        case("Conv", opset, [numbers(*shape)], [numbers(*weight), numbers(weight[0])], **attributes)

for opset in (14, 22):
    case("HardSwish", opset, [numbers(2, 3, 4) * 3])
case("Pad", 18, [numbers(2, 3, 4)], [i64(1, 2), np.float32(1), i64(1)])
case("Pad", 19, [numbers(2, 3, 4)], [i64(0, 2, 3, 0, 1, 6)], mode="wrap")
case("AveragePool", 19, [numbers(1, 2, 7, 6)], kernel_shape=[2, 2], dilations=[2, 3])
case("AveragePool", 22, [numbers(1, 2, 7, 6)], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1, pads=[1, 1, 1, 1])
case("ReduceMean", 18, [numbers(2, 3)], noop_with_empty_axes=1)

for opset in (13, 22):
    x = numbers(2, 3, 4)
    for op in ("Exp", "Abs", "Neg", "Erf", "Softplus"):
        case(op, opset, [x * 2])
    for op in ("Log", "Sqrt"):
        case(op, opset, [np.abs(x) + np.float32(0.01)])
    case("Pow", opset, [x], [np.float32(3)])
    case("Pow", opset, [x], [np.array([2], np.int64)])
    case("Pow", opset, [np.abs(x) + np.float32(0.1)], [np.float32(-1.3)])
    for op in ("Max", "Min"):
        case(op, opset, [x, numbers(2, 3, 4)])
        case(op, opset, [x], [numbers(3, 1)])
    for op in ("ReduceSum", "ReduceMax"):
        for axes, keep in (([1], 1), ([-1, 0], 0), ([2, 3], 1)):
            p = numbers(2, 3, 5, 4)
            if opset < 18 and op == "ReduceMax":
                case(op, opset, [p], axes=axes, keepdims=keep)
            else:
                case(op, opset, [p], [i64(*axes)], keepdims=keep)
        case(op, opset, [numbers(2, 3)], keepdims=0)
        case(op, opset, [numbers(3, 2)])
case("Gelu", 20, [numbers(2, 3, 4) * 2])
case("ReduceSum", 13, [numbers(2, 3)], noop_with_empty_axes=1)

for opset in (11, 13, 22):
    x = numbers(4, 3, 5)
    case("Gather", opset, [x, i64([1, -1, 0], [3, 3, -4])])
    case("Gather", opset, [x, np.array([2, 0], np.int32)], axis=1)
    case("Gather", opset, [x, i64([4], [-2])], axis=-1)
    case("Gather", opset, [x, np.int64(2)], axis=1)
    case("Gather", opset, [x], [i64([1, -1, 0])], axis=2)
    case("Slice", opset, [x], [i64(1), i64(3)])
    case("Slice", opset, [x], [i64(-3, 1), i64(2**63 - 1, -1), i64(2, 0)])
    case("Slice", opset, [x], [i64(-1, 10), i64(-(2**63), -100), i64(1, 2), i64(-1, -2)])
    case("Slice", opset, [x], [i64(0, 2), i64(100, 1), i64(0, 2), i64(3, 1)])
    case("Slice", opset, [numbers(2, 7)], [i64(-4), i64(2**31 - 1), i64(-1)])

for opset in (11, 22):
    for shape, weight, attributes in (
        ((2, 3, 4, 5), (3, 2, 4, 4), dict(strides=[2, 2], pads=[1, 1, 1, 1])),
        ((1, 3, 4, 5), (3, 2, 3, 2), dict(strides=[3, 2], pads=[1, 0, 0, 1], output_padding=[2, 1])),
        ((1, 4, 3, 3), (4, 3, 3, 3), dict(group=2, dilations=[2, 1])),
        ((1, 4, 3, 3), (4, 1, 3, 3), dict(group=4, strides=[2, 2], pads=[1, 1, 1, 1])),
        ((2, 2, 3, 4), (2, 3, 3, 3), dict(strides=[2, 2], auto_pad="SAME_UPPER")),
        ((1, 2, 3, 4), (2, 3, 4, 3), dict(strides=[3, 2], auto_pad="SAME_LOWER", output_padding=[0, 1])),
        ((1, 2, 3, 4), (2, 3, 3, 3), dict(strides=[2, 2], output_shape=[6, 8])),
        ((1, 2, 3, 3), (2, 3, 3, 3), dict(auto_pad="VALID")),
        ((1, 5, 1, 1), (5, 6, 4, 4), {}),
        ((1, 3, 5, 4), (3, 2, 1, 1), {}),
    ):
        case("ConvTranspose", opset, [numbers(*shape)], [numbers(*weight)], **attributes)
        outputs = weight[1] * attributes.get("group", 1)
        case("ConvTranspose", opset, [numbers(*shape)], [numbers(*weight), numbers(outputs)], **attributes)

for opset in (17, 22):
    case("LayerNormalization", opset, [numbers(2, 3, 5)], [numbers(5), numbers(5)])
    case("LayerNormalization", opset, [numbers(2, 3, 19)], [numbers(19)], epsilon=0.01)
    case("LayerNormalization", opset, [numbers(2, 3, 5)], [numbers(3, 5), numbers(3, 5)], axis=1)

for opset in (11, 13, 18):
    # What PyTorch's interpolate and Upsample export, and the other modes.
    for mode, coordinates, nearest in (
        ("nearest", "asymmetric", "floor"),
        ("linear", "half_pixel", "floor"),
        ("linear", "pytorch_half_pixel", "floor"),
        ("linear", "align_corners", "floor"),
        ("linear", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("nearest", "half_pixel", "round_prefer_ceil"),
        ("nearest", "align_corners", "ceil"),
    ):
        how = dict(mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest)
        roi = None if opset > 11 else np.zeros(0, np.float32)
        for scales in ((1, 1, 2, 2), (1, 1, 1.7, 0.6)) if opset == 13 else ():
            case("Resize", opset, [numbers(2, 2, 4, 5)], [roi, np.array(scales, np.float32)], **how)
        none = None if opset > 11 else np.zeros(0, np.float32)
        case("Resize", opset, [numbers(1, 2, 4, 5)], [roi, none, i64(1, 2, 7, 3)], **how)
case("Resize", 13, [numbers(2, 4, 5)], [None, np.array([1, 1, 2.5], np.float32)], mode="linear")
case("Resize", 18, [numbers(2, 2, 4, 5)], [None, None, i64(3, 6)], axes=[2, 3], mode="linear")
# Batches of three sequences of five steps; what is given at run time has no axis of two in front.
for opset in (11, 22):
    for op, gates, variants in (
        ("LSTM", 4, [{}]),
        ("GRU", 3, [{}, dict(linear_before_reset=1)]),
        ("RNN", 1, [{}, dict(activations=["Relu"])]),
    ):
        for attributes in variants:
            for direction in ("forward", "reverse", "bidirectional"):
                d = 2 if direction == "bidirectional" else 1
                x, w, r, b = numbers(5, 3, 2), numbers(d, gates * 3, 2), numbers(d, gates * 3, 3), numbers(d, gates * 6)
                lengths = np.array([5, 1, 3], np.int32)
                states = [numbers(d, 3, 3) for _ in range(2 if op == "LSTM" else 1)]
                more = dict(attributes, hidden_size=3, direction=direction)
                if "activations" in more:
                    more["activations"] = more["activations"] * d
                outputs = len(states) + 1
                case(op, opset, [x], [w, r], outputs=outputs, **more)
                if d == 1:
                    case(op, opset, [x, w, r, b, lengths, *states], outputs=outputs, **more)
                else:
                    case(op, opset, [x], [w, r, b, lengths, *states], outputs=outputs, **more)

path = pathlib.Path(__file__).with_name("operators.json")
path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
sources = [c["source"] for c in cases]
print(len(cases), "cases,", {s: sources.count(s) for s in set(sources)}, path.stat().st_size, "bytes")
