//! ONNX: the messages of `onnx/onnx.proto` that are written here (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>,
//! IR version 8), and the network as a graph of operators of version 17.

use anyhow::Result;
use husky::spec::{Activation, Op, Padding, Parameters, Shape, Step, Window};
use husky::{Spec, Weights};
use prost::Message;
use serde_json::json;

use crate::files::little_endian;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes, tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    parameter: Option<String>,
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT64`.
const INT64: i32 = 7;
/// `AttributeProto.AttributeType.INT`.
const INT: i32 = 2;
/// `AttributeProto.AttributeType.INTS`.
const INTS: i32 = 7;

/// The file: `pixels` `[batch, size, size, 3]`, RGB in 0 to 255, to `logits` and `probabilities`; the metadata has what else
/// there is to know, under names that begin with `husky.`.
pub fn file(spec: &Spec, weights: &Weights, digest: &str) -> Result<Vec<u8>> {
    let mut builder = Builder { weights, nodes: Vec::new(), initializers: Vec::new() };
    let [mean, scale] = [("mean", &spec.input.mean), ("scale", &spec.input.scale)]
        .map(|(name, values)| builder.constant(name, &[3], values));
    let x = builder.node("Sub", &["pixels".to_owned(), mean], vec![]);
    let x = builder.node("Mul", &[x, scale], vec![]);
    let x = builder.node("Transpose", &[x], vec![ints("perm", &[0, 3, 1, 2])]);
    let logits = builder.steps(&spec.steps()?, x);
    builder.rename(&logits, "logits");
    let temperature = builder.constant("temperature", &[1], &[spec.temperature]);
    let logits = builder.node("Div", &["logits".to_owned(), temperature], vec![]);
    let probabilities = if spec.labels.len() == 2 {
        let first = builder.node("Sigmoid", std::slice::from_ref(&logits), vec![]);
        let other = builder.node("Neg", &[logits], vec![]);
        let second = builder.node("Sigmoid", &[other], vec![]);
        builder.node("Concat", &[first, second], vec![int("axis", 1)])
    } else {
        builder.node("Softmax", &[logits], vec![int("axis", 1)])
    };
    builder.rename(&probabilities, "probabilities");
    let (size, labels) = (i64::from(spec.input.size), spec.labels.len() as i64);
    let outputs = if labels == 2 { 1 } else { labels };
    let graph = Graph {
        node: builder.nodes,
        name: spec.name.clone(),
        initializer: builder.initializers,
        input: vec![value("pixels", &[size, size, 3])],
        output: vec![value("logits", &[outputs]), value("probabilities", &[labels])],
    };
    let mut facts = vec![
        ("labels", json!(spec.labels)),
        ("input.size", json!(spec.input.size)),
        ("input.resize", json!("stretch to the square, antialiased triangle filter")),
        ("input.mean", json!(spec.input.mean)),
        ("input.scale", json!(spec.input.scale)),
        ("temperature", json!(spec.temperature)),
        ("digest", json!(digest)),
    ];
    if labels == 2 {
        facts.push(("threshold", json!(spec.threshold)));
        facts.extend(spec.unsure.map(|range| ("unsure", json!(range))));
    }
    let entry =
        |(key, value): (&str, serde_json::Value)| Entry { key: format!("husky.{key}"), value: value.to_string() };
    let model = Model {
        ir_version: 8,
        producer_name: "husky".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        metadata_props: facts.into_iter().map(entry).collect(),
    };
    Ok(model.encode_to_vec())
}

/// A graph in the making. Pictures are `[batch, channels, height, width]`, as ONNX' convolutions want them.
struct Builder<'a> {
    weights: &'a Weights,
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
}

impl Builder<'_> {
    /// What the steps make of the value `x`, by its name.
    fn steps(&mut self, steps: &[Step], mut x: String) -> String {
        for step in steps {
            x = match &step.op {
                Op::Conv2d { parameters, window, activation, pool } => {
                    let [height, width, channels, filters] = dimensions(parameters);
                    let mut weight = Vec::new();
                    let values = self.weights.get(&parameters.weight_name());
                    for filter in 0..filters {
                        for channel in 0..channels {
                            let places = 0..height * width;
                            weight.extend(places.map(|place| values[(place * channels + channel) * filters + filter]));
                        }
                    }
                    let weight = self.constant(&parameters.weight_name(), &[filters, channels, height, width], &weight);
                    let x = self.conv(x, weight, parameters, *window, step.input, 1);
                    let x = self.activate(x, *activation);
                    match pool {
                        true => {
                            self.node("MaxPool", &[x], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
                        }
                        false => x,
                    }
                }
                Op::DepthwiseConv2d { parameters, window, activation } => {
                    let [height, width, channels, _] = dimensions(parameters);
                    let values = self.weights.get(&parameters.weight_name());
                    let weight: Vec<f32> = (0..channels)
                        .flat_map(|channel| (0..height * width).map(move |place| values[place * channels + channel]))
                        .collect();
                    let weight = self.constant(&parameters.weight_name(), &[channels, 1, height, width], &weight);
                    let x = self.conv(x, weight, parameters, *window, step.input, channels);
                    self.activate(x, *activation)
                }
                Op::Residual { steps } => {
                    let y = self.steps(steps, x.clone());
                    self.node("Add", &[x, y], vec![])
                }
                Op::GlobalAveragePool2d => {
                    let x = self.node("GlobalAveragePool", &[x], vec![]);
                    self.node("Flatten", &[x], vec![int("axis", 1)])
                }
                Op::Flatten => {
                    // The dense layer's weights are in the order of pixels.
                    let x = self.node("Transpose", &[x], vec![ints("perm", &[0, 2, 3, 1])]);
                    self.node("Flatten", &[x], vec![int("axis", 1)])
                }
                Op::Dense { parameters, activation } => {
                    let name = parameters.weight_name();
                    let weight = self.constant(&name, &parameters.shape, self.weights.get(&name));
                    let bias = self.bias(parameters);
                    let x = self.node("Gemm", &[x, weight, bias], vec![]);
                    self.activate(x, *activation)
                }
                Op::Dropout { .. } => x,
                Op::LogSumExp { groups } => self.log_sum_exp(x, groups),
            };
        }
        x
    }

    fn conv(
        &mut self,
        x: String,
        weight: String,
        p: &Parameters,
        window: Window,
        input: Shape,
        group: usize,
    ) -> String {
        let Window { kernel, stride, padding } = window;
        let bias = self.bias(p);
        let mut attributes =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), int("group", group as i64)];
        if let (Padding::Same, Shape::Image { height, width, .. }) = (padding, input) {
            let [[top, bottom], [left, right]] = [height, width].map(|length| window.margins(length));
            attributes.push(ints("pads", &[top, left, bottom, right]));
        }
        self.node("Conv", &[x, weight, bias], attributes)
    }

    /// In the operators that every runtime has, less the largest value first, so that no exponential is infinite.
    fn log_sum_exp(&mut self, x: String, groups: &[usize]) -> String {
        let axis = self.integers("axis", &[1]);
        let mut start = 0;
        let mut sums = Vec::new();
        for &count in groups {
            let ends = [start, start + count].map(|end| self.integers(&format!("kind_{end}"), &[end as i64]));
            start += count;
            let [from, to] = ends;
            let group = self.node("Slice", &[x.clone(), from, to, axis.clone()], vec![]);
            let largest = self.node("ReduceMax", std::slice::from_ref(&group), vec![ints("axes", &[1])]);
            let rest = self.node("Sub", &[group, largest.clone()], vec![]);
            let rest = self.node("Exp", &[rest], vec![]);
            let rest = self.node("ReduceSum", &[rest, axis.clone()], vec![]);
            let rest = self.node("Log", &[rest], vec![]);
            sums.push(self.node("Add", &[largest, rest], vec![]));
        }
        if sums.len() == 2 { self.node("Sub", &sums, vec![]) } else { self.node("Concat", &sums, vec![int("axis", 1)]) }
    }

    fn bias(&mut self, parameters: &Parameters) -> String {
        let name = parameters.bias_name();
        self.constant(&name, &[parameters.bias_len()], self.weights.get(&name))
    }

    fn activate(&mut self, x: String, activation: Activation) -> String {
        match activation {
            Activation::Linear => x,
            Activation::Relu => self.node("Relu", &[x], vec![]),
            Activation::Relu6 => {
                let limits = [("zero", 0.0), ("six", 6.0)].map(|(name, value)| self.constant(name, &[], &[value]));
                self.node("Clip", &[&[x], &limits[..]].concat(), vec![])
            }
        }
    }

    /// Adds a node; the name of its result.
    fn node(&mut self, op_type: &str, input: &[String], attribute: Vec<Attribute>) -> String {
        let name = format!("{}_{}", op_type.to_lowercase(), self.nodes.len());
        let (input, output) = (input.to_vec(), vec![name.clone()]);
        self.nodes.push(Node { input, output, name: name.clone(), op_type: op_type.to_owned(), attribute });
        name
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.initializer(name, shape, FLOAT, little_endian(values))
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, &[values.len()], INT64, bytes)
    }

    /// Adds a constant, unless it is there.
    fn initializer(&mut self, name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        if self.initializers.iter().all(|tensor| tensor.name != name) {
            let dims = shape.iter().map(|&length| length as i64).collect();
            self.initializers.push(Tensor { dims, data_type, name: name.to_owned(), raw_data });
        }
        name.to_owned()
    }

    /// Gives a result that nothing uses yet another name.
    fn rename(&mut self, old: &str, new: &str) {
        for output in self.nodes.iter_mut().flat_map(|node| &mut node.output).filter(|output| *output == old) {
            new.clone_into(output);
        }
    }
}

/// Height, width, input channels and filters of a convolution's weights; a depthwise one has no filters of its own.
fn dimensions(parameters: &Parameters) -> [usize; 4] {
    match parameters.shape[..] {
        [height, width, channels, filters] => [height, width, channels, filters],
        [height, width, channels] => [height, width, channels, 1],
        _ => unreachable!("a convolution's weights have three or four dimensions"),
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(i), ints: vec![], kind: INT }
}

fn ints(name: &str, ints: &[usize]) -> Attribute {
    Attribute { name: name.to_owned(), i: None, ints: ints.iter().map(|&i| i as i64).collect(), kind: INTS }
}

/// An input or output: any number of photos, and the dimensions of one.
fn value(name: &str, shape: &[i64]) -> Value {
    let batch = Dimension { value: None, parameter: Some("batch".to_owned()) };
    let dimensions = shape.iter().map(|&length| Dimension { value: Some(length), parameter: None });
    let shape = Some(TensorShape { dim: std::iter::once(batch).chain(dimensions).collect() });
    Value { name: name.to_owned(), kind: Some(Type { tensor: Some(TensorType { elem_type: FLOAT, shape }) }) }
}
