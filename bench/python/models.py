"""Writes a model file's network for the peers: model.onnx, and tfjs.json with tfjs.bin, the weights as 16-bit floats.

    python models.py MODEL.safetensors FOLDER

Prints what the page has to know: input size, normalisation, temperature, and the multiplications of one photo.
"""

import base64
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


def read(path):
    """The file's spec, and its tensors as float32."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    spec = json.loads(header["__metadata__"]["husky"])["spec"]
    return spec, {name: values.astype(np.float32) for name, values in load_file(path).items()}


def outputs(layer, kernel, length):
    """The number of windows along a side, and the zeros before and after it, as TensorFlow has them."""
    stride = layer.get("stride", 1)
    if layer.get("padding", "valid") == "valid":
        return (length - kernel) // stride + 1, (0, 0)
    count = -(-length // stride)
    total = max(0, (count - 1) * stride + kernel - length)
    return count, (total // 2, total - total // 2)


class Onnx:
    """Pictures are [batch, channels, height, width]."""

    def __init__(self, size):
        self.size, self.nodes, self.initializers = size, [], []
        self.value, self.shape = "input", (3, size, size)

    def add(self, op, *inputs, **attributes):
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.value, *inputs], [name], **attributes))
        self.value = name

    def weights(self, name, values):
        """A constant as it lies in the file, and its conversion, which the runtime does once."""
        self.initializers.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.f16"))
        self.nodes.append(helper.make_node("Cast", [f"{name}.f16"], [name], to=TensorProto.FLOAT))
        return name

    def conv2d(self, name, weight, bias, layer):
        self.conv(name, weight.transpose(3, 2, 0, 1), bias, layer, group=1)

    def depthwise_conv2d(self, name, weight, bias, layer):
        self.conv(name, weight.transpose(2, 0, 1)[:, None], bias, layer, group=weight.shape[2])

    def conv(self, name, weight, bias, layer, group):
        filters, _, kernel, _ = weight.shape
        (height, (top, bottom)), (width, (left, right)) = (outputs(layer, kernel, n) for n in self.shape[1:])
        self.add(
            "Conv",
            self.weights(f"{name}.weight", weight),
            self.weights(f"{name}.bias", bias),
            kernel_shape=[kernel, kernel],
            strides=[layer.get("stride", 1)] * 2,
            pads=[top, left, bottom, right],
            group=group,
        )
        self.shape = (filters, height, width)
        self.activate(layer["activation"])

    def add_to(self, value):
        self.add("Add", value)

    def global_average_pool2d(self):
        self.add("GlobalAveragePool")
        self.add("Flatten")
        self.shape = self.shape[:1]

    def max_pool2d(self):
        self.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        self.shape = (self.shape[0], self.shape[1] // 2, self.shape[2] // 2)

    def flatten(self):
        self.add("Flatten")

    def dense(self, name, weight, bias, layer):
        if len(self.shape) == 3:
            # Flattened here channel by channel, in the file pixel by pixel.
            channels, height, width = self.shape
            weight = weight.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(weight.shape)
        self.add("Gemm", self.weights(f"{name}.weight", weight), self.weights(f"{name}.bias", bias))
        self.shape = (weight.shape[1],)
        self.activate(layer["activation"])

    def activate(self, activation):
        if activation == "relu":
            self.add("Relu")
        elif activation == "relu6":
            self.add("Clip", *(self.limit(value) for value in (0.0, 6.0)))

    def limit(self, value):
        name = f"limit_{value}"
        if all(known.name != name for known in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def save(self, folder):
        self.nodes[-1].output[0] = "logits"
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, self.size, self.size])]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, self.shape[0]])]
        graph = helper.make_graph(self.nodes, "husky", inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, folder / "model.onnx")


class Tfjs:
    """A graph model of the fused operations that TensorFlow's own converter makes. Pictures are
    [batch, height, width, channels]."""

    ACTIVATIONS = {"linear": [], "relu": ["Relu"], "relu6": ["Relu6"]}

    def __init__(self, size):
        self.nodes, self.specs, self.data, self.multiplications = [], [], bytearray(), 0
        self.value, self.shape = "input", (size, size, 3)
        shape = {"dim": [{"size": str(n)} for n in (1, *self.shape)]}
        self.nodes.append(
            {"name": "input", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": shape}}}
        )

    def add(self, op, *inputs, **attributes):
        name = f"{op.lower()}_{len(self.nodes)}"
        attributes["T"] = {"type": "DT_FLOAT"}
        self.nodes.append({"name": name, "op": op, "input": [self.value, *inputs], "attr": attributes})
        self.value = name

    def constant(self, name, values, dtype="float32"):
        kind = {"float32": "DT_FLOAT", "int32": "DT_INT32"}[dtype]
        shape = {"dim": [{"size": str(n)} for n in values.shape]}
        tensor = {"dtype": kind, "tensorShape": shape}
        self.nodes.append({"name": name, "op": "Const", "attr": {"dtype": {"type": kind}, "value": {"tensor": tensor}}})
        spec = {"name": name, "shape": list(values.shape), "dtype": dtype}
        if dtype == "float32":
            spec["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        self.specs.append(spec)
        self.data += values.astype(np.float16 if dtype == "float32" else np.int32).tobytes()
        return name

    def fused(self, op, name, weight, bias, activation, **attributes):
        operations = [base64.b64encode(o.encode()).decode() for o in ["BiasAdd", *self.ACTIVATIONS[activation]]]
        self.add(
            op,
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", bias),
            fused_ops={"list": {"s": operations}},
            num_args={"i": "1"},
            epsilon={"f": 0.0},
            **attributes,
        )

    def conv2d(self, name, weight, bias, layer):
        self.conv("_FusedConv2D", name, weight, bias, layer, weight.shape[3])

    def depthwise_conv2d(self, name, weight, bias, layer):
        self.conv("FusedDepthwiseConv2dNative", name, weight[..., None], bias, layer, weight.shape[2])

    def conv(self, op, name, weight, bias, layer, filters):
        (height, _), (width, _) = (outputs(layer, weight.shape[0], n) for n in self.shape[:2])
        self.shape = (height, width, filters)
        self.multiplications += weight.size * height * width
        stride = str(layer.get("stride", 1))
        padding = layer.get("padding", "valid").upper()
        self.fused(
            op, name, weight, bias, layer["activation"],
            strides={"list": {"i": ["1", stride, stride, "1"]}},
            dilations={"list": {"i": ["1", "1", "1", "1"]}},
            padding={"s": base64.b64encode(padding.encode()).decode()},
            data_format={"s": base64.b64encode(b"NHWC").decode()},
        )

    def add_to(self, value):
        self.add("AddV2", value)

    def global_average_pool2d(self):
        axes = self.constant(f"axes_{len(self.nodes)}", np.array([1, 2]), "int32")
        self.add("Mean", axes, keep_dims={"b": False})
        self.shape = self.shape[2:]

    def max_pool2d(self):
        window = {"list": {"i": ["1", "2", "2", "1"]}}
        self.add("MaxPool", ksize=window, strides=window, padding={"s": base64.b64encode(b"VALID").decode()})
        self.shape = (self.shape[0] // 2, self.shape[1] // 2, self.shape[2])

    def flatten(self):
        self.shape = (int(np.prod(self.shape)),)
        self.add("Reshape", self.constant("flatten", np.array([1, *self.shape]), "int32"))

    def dense(self, name, weight, bias, layer):
        self.shape = (weight.shape[1],)
        self.multiplications += weight.size
        false = {"b": False}
        self.fused("_FusedMatMul", name, weight, bias, layer["activation"], transpose_a=false, transpose_b=false)

    def save(self, folder):
        topology = {"node": self.nodes, "versions": {"producer": 1}, "library": {}}
        manifest = [{"paths": ["tfjs.bin"], "weights": self.specs}]
        model = {"format": "graph-model", "modelTopology": topology, "weightsManifest": manifest}
        (folder / "tfjs.json").write_text(json.dumps(model, separators=(",", ":")))
        (folder / "tfjs.bin").write_bytes(self.data)


def build(network, layers, tensors, counts):
    """Adds layers to a network of either kind; `counts` has those before them by kind, which their names come from."""
    for layer in layers:
        kind = layer["type"]
        if kind == "dropout":
            continue
        if kind == "residual":
            value = network.value
            build(network, layer["layers"], tensors, counts)
            network.add_to(value)
        elif kind in ("max_pool2d", "flatten", "global_average_pool2d"):
            getattr(network, kind)()
        else:
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}_{counts[kind]}"
            getattr(network, kind)(name, tensors[f"{name}.weight"], tensors[f"{name}.bias"], layer)
    return network


def main(model, folder):
    spec, tensors = read(model)
    size = spec["input"]["size"]
    build(Onnx(size), spec["architecture"], tensors, {}).save(folder)
    tfjs = build(Tfjs(size), spec["architecture"], tensors, {})
    tfjs.save(folder)
    normalisation = {name: spec["input"][name] for name in ("size", "mean", "scale")}
    print(json.dumps({**normalisation, "temperature": spec["temperature"], "multiplications": tfjs.multiplications}))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
