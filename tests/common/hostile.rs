//! Model files made by hand to do harm, each with the error that it must give. `tests/hostile_models.rs` loads them
//! natively, `tests/browser.rs` in a browser.

/// One file.
pub struct Hostile {
    /// What is wrong with it.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// The error's code.
    pub code: &'static str,
    /// A part of the error's sentence.
    pub message: &'static str,
}

/// The spec of the model that all rows start from.
const SPEC: &str = concat!(
    r#"{"name":"tiny","input":{"size":4,"mean":[0.0,0.0,0.0],"scale":[1.0,1.0,1.0],"resize":"stretch_triangle"},"#,
    r#""architecture":[{"type":"conv2d","filters":2,"kernel":3,"activation":"relu"},{"type":"max_pool2d"},"#,
    r#"{"type":"flatten"},{"type":"dense","units":1,"activation":"linear"}],"labels":["yes","no"],"#,
    r#""temperature":1.0,"threshold":0.5,"provenance":{"version":"0.1.0","seed":0,"epoch":1,"data":"","#,
    r#""training_photos":[1,1],"validation_photos":[1,1]}}"#
);

#[derive(Clone, Debug)]
struct Tensor {
    name: &'static str,
    dtype: &'static str,
    shape: Vec<u64>,
    data: Vec<u8>,
}

/// The tensors of [`SPEC`], in the order of their names.
fn tensors() -> Vec<Tensor> {
    let tensor = |name, shape: &[u64]| {
        let count = shape.iter().product::<u64>() as usize;
        let data = (0..count).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect();
        Tensor { name, dtype: "F32", shape: shape.to_vec(), data }
    };
    vec![
        tensor("conv2d_1.bias", &[2]),
        tensor("conv2d_1.weight", &[3, 3, 3, 2]),
        tensor("dense_1.bias", &[1]),
        tensor("dense_1.weight", &[2, 1]),
    ]
}

/// The same in 16 bits.
fn half_tensors() -> Vec<Tensor> {
    let half = |t: Tensor| Tensor { dtype: "F16", data: t.data.chunks(4).flat_map(|_| [0, 0x3c]).collect(), ..t };
    tensors().into_iter().map(half).collect()
}

/// The same with 8-bit weights: larger types first.
fn byte_tensors() -> Vec<Tensor> {
    let [conv_bias, conv, dense_bias, dense] = tensors().try_into().unwrap();
    let scale = |name, bias: &Tensor| Tensor { name, ..bias.clone() };
    let bytes = |t: Tensor| Tensor { dtype: "I8", data: vec![1; t.data.len() / 4], ..t };
    let scales = [scale("conv2d_1.scale", &conv_bias), scale("dense_1.scale", &dense_bias)];
    let [conv_scale, dense_scale] = scales;
    vec![conv_bias, conv_scale, dense_bias, dense_scale, bytes(conv), bytes(dense)]
}

/// The value of the metadata's key `husky`, with the right checksum.
fn husky(spec: &str, tensors: &[Tensor]) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(spec.as_bytes());
    for tensor in tensors {
        hash.update(&tensor.data);
    }
    format!(r#"{{"format":2,"blake3":"{}","spec":{spec}}}"#, hash.finalize())
}

fn file(husky: &str, tensors: &[Tensor]) -> Vec<u8> {
    // By hand: a map of serde_json's would sort the tensors.
    let mut header = serde_json::json!({ "__metadata__": { "husky": husky } }).to_string();
    let mut data = Vec::new();
    header.pop();
    for Tensor { name, dtype, shape, data: bytes } in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = serde_json::json!({ "data_offsets": offsets, "dtype": dtype, "shape": shape });
        header += &format!(r#","{name}":{entry}"#);
        data.extend(bytes);
    }
    with_header(&(header + "}"), &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A file without fault, which shows that it is the fault alone that the others are refused for.
pub fn good() -> Vec<u8> {
    file(&husky(SPEC, &tensors()), &tensors())
}

/// A file without fault with 16-bit weights.
pub fn good_half() -> Vec<u8> {
    file(&husky(SPEC, &half_tensors()), &half_tensors())
}

/// A file without fault with 8-bit weights.
pub fn good_bytes() -> Vec<u8> {
    file(&husky(SPEC, &byte_tensors()), &byte_tensors())
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} must be there once, in {text}");
    text.replace(from, to)
}

/// All rows.
pub fn table() -> Vec<Hostile> {
    let mut rows = Vec::new();
    for (name, bytes, code, message) in files() {
        rows.push(Hostile { name, bytes, code, message });
    }
    for (name, from, to, code, message) in headers() {
        let good = good();
        let (header, data) = good[8..].split_at(u64::from_le_bytes(good[..8].try_into().unwrap()) as usize);
        let header = replace(std::str::from_utf8(header).unwrap(), from, to);
        rows.push(Hostile { name, bytes: with_header(&header, data), code, message });
    }
    for (name, from, to, code, message) in descriptions() {
        let husky = replace(&husky(SPEC, &tensors()), from, to);
        rows.push(Hostile { name, bytes: file(&husky, &tensors()), code, message });
    }
    for (name, tensors, code, message) in tensor_lists() {
        rows.push(Hostile { name, bytes: file(&husky(SPEC, &tensors), &tensors), code, message });
    }
    for (name, from, to, code, message) in specs() {
        let husky = husky(&replace(SPEC, from, &to), &tensors());
        rows.push(Hostile { name, bytes: file(&husky, &tensors()), code, message });
    }
    rows
}

type Files = Vec<(&'static str, Vec<u8>, &'static str, &'static str)>;

/// Files that are wrong from the outside.
#[rustfmt::skip] // One row a line.
fn files() -> Files {
    let good = good();
    let data = tensors().iter().map(|t| t.data.len()).sum::<usize>();
    let cut = |length: usize| good[..length].to_vec();
    let claim = |length: u64| [&length.to_le_bytes(), &good[8..]].concat();
    let flip = |place: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[place] ^= bit;
        bytes
    };
    let threshold = good.windows(4).position(|w| w == b":0.5").unwrap() + 3;
    let utf8 = good.windows(4).position(|w| w == b"husk").unwrap();
    let bare = with_header(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
    let jpeg = [&[0xff, 0xd8, 0xff, 0xe0, 0, 16][..], b"JFIF\0", &[0; 99]].concat();
    let no_tensors = file(&husky(SPEC, &[]), &[]);
    vec![
        ("empty", vec![], "model-empty", "the model file is empty"),
        ("three bytes", cut(3), "model-truncated", "ends after 3 bytes"),
        ("only the header's length", cut(8), "model-truncated", "ends after 8 bytes"),
        ("cut within the header", cut(100), "model-truncated", "ends after 100 bytes"),
        ("cut after the header", cut(good.len() - data), "model-tensors-cut", "ends after 0 of them"),
        ("cut within the data", cut(good.len() - data + 50), "model-tensors-cut", "ends after 50 of them"),
        ("cut by one byte", cut(good.len() - 1), "model-tensors-cut", "take 236 bytes, and it ends after 235 of them"),
        ("one byte too many", [&good[..], &[0]].concat(), "model-trailing", "1 bytes after its last tensor"),
        ("two models", good.repeat(2), "model-trailing", "bytes after its last tensor"),
        ("header of 2^64 - 1 bytes", claim(u64::MAX), "model-header-length", "claims 18446744073709551615 bytes"),
        ("header over the cap", claim((1 << 20) + 1), "model-header-length", "claims 1048577 bytes"),
        ("header up to the cap", claim(1 << 20), "model-truncated", "its header takes 1048584"),
        ("a photo", jpeg, "model-header-length", "is it a husky model file?"),
        ("a web page", b"<!doctype html><p>404".to_vec(), "model-header-length", "is it a husky model file?"),
        ("no header", claim(0), "model-header", "(nothing more at byte 0)"),
        ("header one byte too long", claim(good.len() as u64 - 7 - data as u64), "model-header", "more than one value"),
        ("header cut", claim(60), "model-header", "a text without end"),
        ("header not UTF-8", flip(utf8, 0x80), "model-header-text", "not UTF-8"),
        ("header not JSON", with_header("hello", &[]), "model-header", "no value"),
        ("header a list", with_header("[]", &[]), "model-header", "can't be read (is no object)"),
        ("no metadata", bare, "model-metadata", "no metadata named `husky`"),
        ("no tensors", no_tensors, "model-no-tensors", "has no weights"),
        ("weight with one bit flipped", flip(good.len() - 1, 1), "model-checksum", "is damaged: its checksum is"),
        ("spec with one digit changed", flip(threshold, 1), "model-checksum", "is damaged: its checksum is"),
    ]
}

type Edits = Vec<(&'static str, &'static str, &'static str, &'static str, &'static str)>;

/// Changes of the safetensors header.
#[rustfmt::skip] // One row a line.
fn headers() -> Edits {
    vec![
        ("metadata twice", r#"{"__"#, r#"{"__metadata__":{},"__"#, "model-header", "`__metadata__` comes twice"),
        ("tensor twice", r#""dense_1.weight""#, r#""dense_1.bias""#, "model-header", "`dense_1.bias` comes twice"),
        ("husky twice", r#"{"husky""#, r#"{"husky":"","husky""#, "model-header", "`husky` comes twice"),
        ("two metadata keys", r#"{"husky""#, r#"{"author":"","husky""#, "model-metadata-key", "metadata \"author\""),
        ("another's metadata", r#"{"husky""#, r#"{"format":"pt","HUSKY""#, "model-metadata-key", "metadata \"format\""),
        ("metadata a number", r#"{"husky""#, r#"{"husky":1,"HUSKY""#, "model-header", "(husky is no text)"),
        ("escapes for a terminal", r#"{"husky""#, r#"{"\u001b[2J":"","husky""#, "model-metadata-key", "\"\u{fffd}[2J\""),
        ("entry without shape", r#""shape":[1]"#, r#""size":[1]"#, "model-tensor-entry", "(shape is missing)"),
        ("entry with more", r#""shape":[1]"#, r#""shape":[1],"a":0"#, "model-tensor-entry", "(a is unknown)"),
        ("shape twice", r#""shape":[1]"#, r#""shape":[1],"shape":[1]"#, "model-header", "`shape` comes twice"),
        ("negative dimension", r#""shape":[1]"#, r#""shape":[-1]"#, "model-tensor-entry", "(shape[0] is no whole number)"),
        ("negative offset", "[224,228]", "[-4,228]", "model-tensor-entry", "(data_offsets[0] is no whole number)"),
        ("three offsets", "[224,228]", "[224,228,232]", "model-tensor-entry", "(data_offsets has not 2 values)"),
        ("backward offsets", "[224,228]", "[228,224]", "model-tensor-bytes", "lies in bytes 228 to 224"),
        ("shape larger than its bytes", "[3,3,3,2]", "[3,3,3,3]", "model-tensor-bytes", "lies in bytes 8 to 224"),
        ("shape that overflows", "[2,1]", "[4294967296,4294967296]", "model-tensor-bytes", "lies in bytes 228 to 236"),
        ("shape that overflows to right", "[1]", "[9223372036854775809,2,1]", "model-tensor-bytes", "\"dense_1.bias\" lies in"),
        ("overlapping tensors", "[224,228]", "[220,224]", "model-tensor-overlap", "\"dense_1.bias\" overlaps"),
        ("all in one place", "[228,236]", "[0,8]", "model-tensor-overlap", "\"dense_1.weight\" overlaps"),
        ("a hole", "[228,236]", "[232,240]", "model-tensor-gap", "unused bytes before its tensor \"dense_1.weight\""),
        ("a hole in front", r#"[0,8]"#, "[4,12]", "model-tensor-gap", "unused bytes before its tensor \"conv2d_1.bias\""),
        ("far away", "[8,224]", "[9007199254740992,9007199254741208]", "model-tensor-gap", "unused bytes before its tensor \"conv2d_1.weight\""),
    ]
}

/// Changes of the JSON in the metadata, outside the spec.
#[rustfmt::skip] // One row a line.
fn descriptions() -> Edits {
    vec![
        ("description not JSON", r#"{"format":2"#, "format:2", "model-description", "no value"),
        ("no format", r#""format":2,"#, "", "model-description", "(format is missing)"),
        ("format 1", r#""format":2"#, r#""format":1"#, "model-format", "has format 1"),
        ("format 3 with other fields", r#""format":2"#, r#""more":0,"format":3"#, "model-format", "has format 3"),
        ("format a string", r#""format":2"#, r#""format":"2""#, "model-description", "(format is no whole number)"),
        ("unknown field", r#""format":2"#, r#""more":0,"format":2"#, "model-description", "(more is unknown)"),
        ("no checksum", r#""blake3":"#, r#""sha1":"#, "model-description", "(blake3 is missing)"),
        ("spec twice", r#""format":2"#, r#""format":2,"spec":{}"#, "model-description", "`spec` comes twice"),
        ("a space", r#""format":2"#, r#""format": 2"#, "model-description", "not as husky writes it"),
        ("wrong checksum", r#""blake3":""#, r#""blake3":"0"#, "model-checksum", "its checksum is 0"),
    ]
}

type TensorLists = Vec<(&'static str, Vec<Tensor>, &'static str, &'static str)>;

/// Wrong tensors under a right checksum.
#[rustfmt::skip] // One row a line.
fn tensor_lists() -> TensorLists {
    let with = |edit: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = tensors();
        edit(&mut tensors);
        tensors
    };
    let value = |value: f32| with(&|t| t[1].data[8..12].copy_from_slice(&value.to_le_bytes()));
    let half = |bits: u16| {
        let mut tensors = half_tensors();
        tensors[3].data[2..].copy_from_slice(&bits.to_le_bytes());
        tensors
    };
    let bytes = |edit: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = byte_tensors();
        edit(&mut tensors);
        tensors
    };
    let extra = Tensor { name: "zebra", dtype: "F32", shape: vec![1], data: vec![0; 4] };
    vec![
        ("missing tensor", with(&|t| drop(t.remove(0))), "model-tensor-missing", "needs the tensor \"conv2d_1.bias\""),
        ("extra tensor", with(&|t| t.push(extra.clone())), "model-tensor-unknown", "has the tensor \"zebra\""),
        ("renamed tensor", with(&|t| t[0].name = "conv2d_1.beta"), "model-tensor-unknown", "\"conv2d_1.beta\""),
        ("tensors swapped", with(&|t| t.swap(0, 1)), "model-tensor-order", "\"conv2d_1.bias\" is out of order"),
        ("transposed", with(&|t| t[3].shape = vec![1, 2]), "model-tensor-shape", "has the shape [1, 2], and its network needs [2, 1]"),
        ("flat", with(&|t| t[1].shape = vec![54]), "model-tensor-shape", "needs [3, 3, 3, 2]"),
        ("another rank", with(&|t| t[2].shape = vec![]), "model-tensor-shape", "has the shape []"),
        ("no values", with(&|t| (t[2].shape, t[2].data) = (vec![0], vec![])), "model-tensor-shape", "has the shape [0]"),
        ("NaN", value(f32::NAN), "model-tensor-value", "\"conv2d_1.weight\" holds NaN at place 2"),
        ("infinity", value(f32::INFINITY), "model-tensor-value", "\"conv2d_1.weight\" holds an infinity at place 2"),
        ("minus infinity", value(f32::NEG_INFINITY), "model-tensor-value", "\"conv2d_1.weight\" holds an infinity at place 2"),
        ("f16 NaN", half(0x7e00), "model-tensor-value", "\"dense_1.weight\" holds NaN at place 1"),
        ("f16 infinity", half(0x7c00), "model-tensor-value", "\"dense_1.weight\" holds an infinity at place 1"),
        ("integers", with(&|t| t[2].dtype = "I32"), "model-tensor-type", "is of type I32"),
        ("unknown type", with(&|t| t[2].dtype = "F31"), "model-tensor-type", "is of type F31"),
        ("double precision", with(&|t| t[3].dtype = "F64"), "model-tensor-type", "is of type F64"),
        ("half of a byte", with(&|t| t[3].dtype = "F4"), "model-tensor-type", "is of type F4"),
        ("mixed types", with(&|t| t[3] = half_tensors()[3].clone()), "model-tensor-types", "\"conv2d_1.weight\" is of type F32, and beside the others it must be F16"),
        ("scale of 32 bits", with(&|t| t.insert(2, Tensor { name: "conv2d_1.zscale", ..t[0].clone() })), "model-tensor-unknown", "\"conv2d_1.zscale\""),
        ("8 bits without a scale", bytes(&|t| drop(t.remove(1))), "model-tensor-missing", "needs the tensor \"conv2d_1.scale\""),
        ("bias of 8 bits", bytes(&|t| { let bias = t.remove(2); t.insert(4, Tensor { dtype: "I8", data: vec![0], ..bias }) }), "model-tensor-types", "\"dense_1.bias\" is of type I8, and beside the others it must be F32"),
        ("8 bits before 32", bytes(&|t| t.swap(3, 4)), "model-tensor-order", "\"dense_1.scale\" is out of order"),
        ("infinite scale", bytes(&|t| t[3].data.copy_from_slice(&f32::INFINITY.to_le_bytes())), "model-tensor-value", "\"dense_1.weight\" holds an infinity at place 0"),
    ]
}

type SpecEdits = Vec<(&'static str, &'static str, String, &'static str, &'static str)>;

/// Wrong specs under a right checksum.
#[rustfmt::skip] // One row a line.
fn specs() -> SpecEdits {
    const LABELS: &str = r#"["yes","no"]"#;
    const LAYERS: &str = r#"{"type":"max_pool2d"},{"type":"flatten"},{"type":"dense","units":1,"activation":"linear"}"#;
    const CONV: &str = r#"{"type":"conv2d","filters":2,"kernel":3,"activation":"relu"},"#;
    const ALL: &str = r#"{"type":"conv2d","filters":2,"kernel":3,"activation":"relu"},{"type":"max_pool2d"},{"type":"flatten"},{"type":"dense","units":1,"activation":"linear"}"#;
    const CONV_HEAD: &str = r#"{"type":"conv2d","filters":2,"kernel":3"#;
    const HEAD: &str = concat!(
        r#""size":4,"mean":[0.0,0.0,0.0],"scale":[1.0,1.0,1.0],"resize":"stretch_triangle"},"#,
        r#""architecture":[{"type":"conv2d","filters":2,"kernel":3"#
    );
    const POOL: &str = r#"{"type":"max_pool2d"},"#;
    const DENSE: &str = r#"{"type":"dense","units":1,"activation":"linear"}"#;
    let repeat = |layer: &str, count: usize| vec![layer; count].join(",");
    let labels = |count: usize| format!("[{}]", (0..count).map(|i| format!("\"{i}\"")).collect::<Vec<_>>().join(","));
    let s = str::to_owned;
    vec![
        ("nested too deep", r#""filters":2"#, format!(r#""filters":{}{}"#, "[".repeat(5000), "]".repeat(5000)), "model-description", "too many values within each other"),
        ("unknown layer", r#""max_pool2d""#, s(r#""lstm""#), "model-spec", "(architecture[1].type is `lstm`, which is unknown)"),
        ("unknown activation", r#""linear""#, s(r#""tanh""#), "model-spec", "(architecture[3].activation is `tanh`, which is unknown)"),
        ("unknown resize", r#""stretch_triangle""#, s(r#""nearest""#), "model-spec", "(input.resize is `nearest`, which is unknown)"),
        ("unknown field", r#""labels":"#, s(r#""run":"rm","labels":"#), "model-spec", "(run is unknown)"),
        ("unknown field of a layer", r#""units":1"#, s(r#""units":1,"bias":false"#), "model-spec", "(architecture[3].bias is unknown)"),
        ("field twice", r#""name":"tiny""#, s(r#""name":"a","name":"b""#), "model-description", "`name` comes twice"),
        ("no threshold", r#""threshold":0.5,"#, s(""), "model-spec", "(threshold is missing)"),
        ("unsure beside the threshold", r#""threshold":0.5"#, s(r#""threshold":0.5,"unsure":[0.6,0.7]"#), "model-unsure", "lie around its threshold"),
        ("unsure the wrong way round", r#""threshold":0.5"#, s(r#""threshold":0.5,"unsure":[0.7,0.2]"#), "model-unsure", "lie around its threshold"),
        ("unsure beyond certainty", r#""threshold":0.5"#, s(r#""threshold":0.5,"unsure":[0.4,1.5]"#), "model-unsure", "lie around its threshold"),
        ("unsure of one number", r#""threshold":0.5"#, s(r#""threshold":0.5,"unsure":[0.4]"#), "model-spec", "(unsure has not 2 values)"),
        ("two channels", "[1.0,1.0,1.0]", s("[1.0,1.0]"), "model-spec", "(input.scale has not 3 values)"),
        ("zero labels", LABELS, s("[]"), "model-label-count", "has 0 labels"),
        ("one label", LABELS, s(r#"["yes"]"#), "model-label-count", "has 1 labels"),
        ("10,001 labels", LABELS, labels(10_001), "model-label-count", "has 10001 labels"),
        ("three labels, one unit", LABELS, labels(3), "model-output", "linear dense one with 3 units"),
        ("labels twice", LABELS, s(r#"["no","no"]"#), "model-label-twice", "the label \"no\" twice"),
        ("empty label", LABELS, s(r#"["yes"," "]"#), "model-label", "label 1 of the model file is empty"),
        ("control characters", LABELS, s(r#"["\u001b[31m","no"]"#), "model-label", "label 0 of the model file"),
        ("endless label", LABELS, format!(r#"["1","2",{:?}]"#, "x".repeat(101)), "model-label", "label 2 of the model file"),
        ("endless name", r#""tiny""#, format!("{:?}", "x".repeat(101)), "model-text", "name for itself is too long"),
        ("terminal commands", r#""0.1.0""#, s(r#""\u001b[2J""#), "model-text", "version is too long or not printable"),
        ("endless date", r#""seed":0"#, format!("\"date\":{:?},\"seed\":0", "9".repeat(101)), "model-text", "date is too long"),
        ("endless hash", r#""data":"""#, format!("\"data\":{:?}", "0".repeat(101)), "model-text", "data's hash is too long"),
        ("threshold 2", r#""threshold":0.5"#, s(r#""threshold":2"#), "model-threshold", "threshold must lie between 0 and 1"),
        ("threshold below 0", r#""threshold":0.5"#, s(r#""threshold":-0.1"#), "model-threshold", "threshold must lie between 0 and 1"),
        ("temperature 0", r#""temperature":1.0"#, s(r#""temperature":0"#), "model-temperature", "temperature must be a positive number"),
        ("temperature -1", r#""temperature":1.0"#, s(r#""temperature":-1"#), "model-temperature", "temperature must be a positive number"),
        ("temperature 1e999", r#""temperature":1.0"#, s(r#""temperature":1e999"#), "model-description", "a number out of range"),
        ("temperature NaN", r#""temperature":1.0"#, s(r#""temperature":NaN"#), "model-description", "no value"),
        ("temperature 1e39", r#""temperature":1.0"#, s(r#""temperature":1e39"#), "model-temperature", "temperature must be a positive number"),
        ("input size 0", r#""size":4"#, s(r#""size":0"#), "model-input-size", "pictures of 0 pixels"),
        ("input size 100000", r#""size":4"#, s(r#""size":100000"#), "model-input-size", "pictures of 100000 pixels"),
        ("input size -1", r#""size":4"#, s(r#""size":-1"#), "model-spec", "(input.size is no whole number)"),
        ("input size 3.5", r#""size":4"#, s(r#""size":3.5"#), "model-spec", "(input.size is no whole number)"),
        ("scale 0", "[1.0,1.0,1.0]", s("[1.0,0.0,1.0]"), "model-normalization", "scales to zero"),
        ("no layers", ALL, s(""), "model-layer-count", "has 0 layers"),
        ("257 layers", LAYERS, repeat(POOL.trim_matches(','), 256), "model-layer-count", "has 257 layers"),
        ("10,000 layers", LAYERS, repeat(POOL.trim_matches(','), 9_999), "model-layer-count", "has 10000 layers"),
        ("100,000 layers", LAYERS, repeat(DENSE, 99_999), "model-header-length", "at most 1 MiB is accepted"),
        ("dense without flatten", r#"{"type":"flatten"},"#, s(""), "model-layer", "layer 2 of the model file needs a flatten"),
        ("pool without convolution", CONV, s(""), "model-layer", "layer 0 of the model file does not follow a convolution"),
        ("pool twice", POOL, POOL.repeat(2), "model-layer", "layer 2 of the model file follows another max pool"),
        ("flatten twice", POOL, s(r#"{"type":"flatten"},"#), "model-layer", "layer 2 of the model file needs a picture"),
        ("convolution of a vector", DENSE, format!("{CONV}{DENSE}"), "model-layer", "layer 3 of the model file needs a picture"),
        ("units 0", r#""units":1"#, s(r#""units":0"#), "model-layer", "layer 3 of the model file has no units"),
        ("filters 0", r#""filters":2"#, s(r#""filters":0"#), "model-layer", "layer 0 of the model file has no filters"),
        ("kernel 0", r#""kernel":3"#, s(r#""kernel":0"#), "model-layer", "layer 0 of the model file has no window"),
        ("kernel larger than the picture", r#""kernel":3"#, s(r#""kernel":5"#), "model-layer", "layer 0 of the model file has a window larger"),
        ("pool larger than the picture", r#""kernel":3"#, s(r#""kernel":4"#), "model-layer", "layer 1 of the model file has a window larger"),
        ("dropout of everything", POOL, format!(r#"{POOL}{{"type":"dropout","percent":100}},"#), "model-layer", "layer 2 of the model file drops everything"),
        ("dropout 300", POOL, format!(r#"{POOL}{{"type":"dropout","percent":300}},"#), "model-spec", "(architecture[2].percent is too large)"),
        ("stride 0", r#""kernel":3"#, s(r#""kernel":3,"stride":0"#), "model-layer", "layer 0 of the model file has a window that does not move"),
        ("depthwise 4x4", POOL, format!(r#"{POOL}{{"type":"depthwise_conv2d","kernel":4,"activation":"relu6"}},"#), "model-layer", "layer 2 of the model file has a window other than 3x3 or 5x5"),
        ("depthwise of a vector", DENSE, format!(r#"{DENSE},{{"type":"depthwise_conv2d","kernel":3,"padding":"same","activation":"relu6"}}"#), "model-layer", "layer 4 of the model file needs a picture"),
        ("residual of nothing", POOL, format!(r#"{POOL}{{"type":"residual","layers":[]}},"#), "model-layer", "layer 2 of the model file has no trained layer in it"),
        ("residual of another shape", CONV, format!(r#"{{"type":"residual","layers":[{}]}},"#, CONV.trim_end_matches(',')), "model-layer", "layer 0 of the model file adds what has different shapes"),
        ("residual of a vector", DENSE, format!(r#"{{"type":"residual","layers":[{{"type":"dense","units":2,"activation":"linear"}}]}},{DENSE}"#), "model-layer", "layer 3 of the model file needs a picture"),
        ("residual without end", POOL, format!(r#"{POOL}{}{},"#, r#"{"type":"residual","layers":["#.repeat(200), "]}".repeat(200)), "model-description", "too many values within each other"),
        ("padding of its own", r#""kernel":3"#, s(r#""kernel":3,"padding":"reflect""#), "model-spec", "(architecture[0].padding is `reflect`, which is unknown)"),
        ("mean of a vector", DENSE, format!(r#"{DENSE},{DENSE},{{"type":"global_average_pool2d"}}"#), "model-layer", "layer 5 of the model file needs a picture"),
        ("margins that overflow", POOL, format!(r#"{POOL}{0}{0}{{"type":"conv2d","filters":2,"kernel":65535,"padding":"same","activation":"relu"}},"#, r#"{"type":"conv2d","filters":2,"kernel":1,"activation":"relu"},"#), "model-cost", "layer 4 of the model file needs more"),
        ("stride that overflows", POOL, format!(r#"{{"type":"conv2d","filters":2,"kernel":3,"stride":4294967295,"padding":"same","activation":"relu"}},{POOL}"#), "model-layer", "layer 2 of the model file has a window larger"),
        ("units that overflow", r#""units":1"#, s(r#""units":4294967295"#), "model-cost", "layer 3 of the model file needs more"),
        ("filters that overflow", r#""filters":2"#, s(r#""filters":4294967295"#), "model-cost", "layer 0 of the model file needs more"),
        ("weights of gigabytes", POOL, format!("{},", repeat(r#"{"type":"conv2d","filters":60000,"kernel":1,"activation":"relu"}"#, 2)), "model-cost", "layer 2 of the model file needs more"),
        ("weights that fill whole vectors", POOL, format!(r#"{POOL}{{"type":"conv2d","filters":1,"kernel":5000,"stride":1024,"padding":"same","activation":"relu"}},"#), "model-cost", "layer 2 of the model file needs more"),
        ("minutes of work", HEAD, replace(&HEAD.replace("size\":4", "size\":256"), CONV_HEAD, &format!("{CONV}{}", CONV_HEAD.replace("2,", "512,").replace('3', "33"))), "model-cost", "layer 1 of the model file needs more"),
        ("groups of nothing", DENSE, s(r#"{"type":"dense","units":1,"activation":"linear"},{"type":"log_sum_exp","groups":[]}"#), "model-layer", "layer 4 of the model file has groups that are not"),
        ("an empty group", DENSE, format!(r#"{DENSE},{{"type":"log_sum_exp","groups":[1,0]}}"#), "model-layer", "layer 4 of the model file has groups that are not"),
        ("groups of more than there is", DENSE, format!(r#"{DENSE},{{"type":"log_sum_exp","groups":[1,1]}}"#), "model-layer", "layer 4 of the model file has groups that are not"),
        ("groups of a picture", DENSE, format!(r#"{{"type":"log_sum_exp","groups":[1,1]}},{DENSE}"#), "model-layer", "layer 3 of the model file does not follow a dense layer"),
        ("groups of negative numbers", DENSE, format!(r#"{DENSE},{{"type":"log_sum_exp","groups":[2,-1]}}"#), "model-spec", "(architecture[4].groups[1] is no whole number)"),
        ("ReLU at the end", r#""linear""#, s(r#""relu""#), "model-output", "has 2 labels, so its last layer must be a linear dense one with 1 units"),
    ]
}
