//! The model file: structure and weights in one safetensors file, bytes to bytes.
//!
//! Its metadata has one key, `husky`, with the JSON `{"format":2,"blake3":"…","spec":{…}}`. The tensors are those that
//! the [`Spec`] asks for, `NAME.weight` and `NAME.bias`, little-endian, all f32 or all f16; or the weights are 8-bit
//! integers, each to be multiplied with its output channel's `NAME.scale`, and scales and biases are f32. Tensors of one
//! type lie in the order of their names, larger types first, without gaps. The checksum covers the spec's JSON and the
//! data after the header. [`write()`] gives equal models equal files.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    marker::PhantomData,
};

use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Error, Result, Spec,
    error::printable,
    spec::{Parameters, Step},
};

/// The longest model file that is accepted, in bytes.
pub const MAX_FILE: usize = 256 << 20;
/// The longest header that is accepted, in bytes.
pub const MAX_HEADER: usize = 1 << 20;
/// The version of the format.
pub const FORMAT: u32 = 2;

/// The metadata's one key.
const KEY: &str = "husky";
/// Bytes of the header's length, which a safetensors file begins with.
const LENGTH: usize = 8;

/// Trained values by tensor name; shapes are the spec's. Complete and finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(BTreeMap<String, Vec<f32>>);

/// How weights lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Weights as 8-bit integers with a scale for each output channel; the scales and biases as 32-bit floats.
    I8,
}

impl Weights {
    /// Takes `tensors`, `NAME.weight` and `NAME.bias` of each [`Parameters`] of the spec.
    ///
    /// # Errors
    /// Those of [`Spec::steps`]; [`Error::ModelTensorMissing`], [`Error::ModelTensorUnknown`],
    /// [`Error::ModelTensorLength`] and [`Error::ModelTensorValue`].
    pub fn new(spec: &Spec, tensors: BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let steps = spec.steps()?;
        let expected = |p: &Parameters| [(p.weight_name(), p.count() - p.bias_len()), (p.bias_name(), p.bias_len())];
        let expected: BTreeMap<_, _> = steps.iter().flat_map(Step::parameters).flat_map(expected).collect();
        check_names(expected.keys(), tensors.keys())?;
        for ((name, expected), values) in expected.into_iter().zip(tensors.values()) {
            if values.len() != expected {
                return Err(Error::ModelTensorLength { tensor: name, expected, found: values.len() });
            }
            check_finite(&name, values)?;
        }
        Ok(Self(tensors))
    }

    /// The values of a tensor, row-major.
    ///
    /// # Panics
    /// If the spec that these weights were made for has no such tensor.
    pub fn get(&self, name: &str) -> &[f32] {
        &self.0[name]
    }

    /// As [`Weights::get`], once: so that a packed tensor need not lie in memory twice.
    pub(crate) fn take(&mut self, name: &str) -> Vec<f32> {
        self.0.remove(name).expect("weights fit their spec, and each is taken once")
    }
}

/// Reads a model file's bytes. Everything in them is checked before it is used, and nothing in them is executed.
///
/// # Errors
/// The `Model…` variants of [`Error`], one for each way to be wrong.
pub fn read(bytes: &[u8]) -> Result<(Spec, Weights)> {
    let file = File::parse(bytes)?;
    let spec: Spec = serde_json::from_str(file.spec.get()).map_err(|e| Error::ModelSpec(printable(e)))?;
    let steps = spec.steps()?;
    let parameters: Vec<&Parameters> = steps.iter().flat_map(Step::parameters).collect();
    file.check_tensors(parameters.iter().flat_map(|p| file.precision.tensors(p)))?;
    let mut tensors = BTreeMap::new();
    for p in parameters {
        let (mut weights, bias) = (file.values(&p.weight_name()), file.values(&p.bias_name()));
        if file.precision == Precision::I8 {
            let scales = file.values(&p.scale_name());
            for weights in weights.chunks_exact_mut(scales.len()) {
                weights.iter_mut().zip(&scales).for_each(|(weight, scale)| *weight *= scale);
            }
        }
        for (name, values) in [(p.weight_name(), weights), (p.bias_name(), bias)] {
            check_finite(&name, &values)?;
            tensors.insert(name, values);
        }
    }
    Ok((spec, Weights(tensors)))
}

/// How the weights of a model file lie in it.
///
/// # Errors
/// As [`read`], but for those that come of the spec and the values.
pub fn precision(bytes: &[u8]) -> Result<Precision> {
    Ok(File::parse(bytes)?.precision)
}

/// A model file's bytes: the same for the same model.
///
/// # Errors
/// Those of [`Spec::steps`]; [`Error::ModelHalfRange`] for a value that no f16 holds; [`Error::ModelTooLarge`] and
/// [`Error::ModelHeaderLength`] for a file that [`read`] would not accept.
///
/// # Panics
/// If `weights` were made for another spec.
pub fn write(spec: &Spec, weights: &Weights, precision: Precision) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for p in spec.steps()?.iter().flat_map(Step::parameters) {
        let weight = weights.get(&p.weight_name());
        let mut values = BTreeMap::from([(p.bias_name(), weights.get(&p.bias_name()).to_vec())]);
        if precision == Precision::I8 {
            let (integers, scales) = quantize(weight, p.bias_len());
            values.extend([(p.weight_name(), integers), (p.scale_name(), scales)]);
        } else {
            values.insert(p.weight_name(), weight.to_vec());
        }
        for tensor in precision.tensors(p) {
            let data = encode(&tensor, &values[&tensor.name])?;
            tensors.push((tensor, data));
        }
    }
    tensors.sort_by(|(a, _), (b, _)| order((a.dtype, &a.name), (b.dtype, &b.name)));
    let spec = serde_json::value::to_raw_value(spec).expect("a spec is plain data");
    let blake3 = checksum(&spec, tensors.iter().map(|(_, data)| &data[..]));
    let husky = serde_json::to_string(&Husky { format: FORMAT, blake3, spec }).expect("so is this");
    let views = tensors.iter().map(|(tensor, data)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), data).expect("the values fill their shape");
        (&tensor.name, view)
    });
    // safetensors has the same order, and pads the header to 8 bytes.
    let bytes = safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), husky)])))
        .expect("the header is valid by construction");
    split_header(&bytes)?;
    Ok(bytes)
}

/// The value of the metadata's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Husky {
    format: u32,
    blake3: String,
    spec: Box<RawValue>,
}

/// What tells whether the rest of [`Husky`] can be read.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A tensor's place. 64 bits on every target, so that a bad file gives the same error everywhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// A file whose layout and checksum are right.
struct File<'a> {
    spec: Box<RawValue>,
    precision: Precision,
    tensors: BTreeMap<String, Entry>,
    data: &'a [u8],
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (header, data) = split_header(bytes)?;
        let header = std::str::from_utf8(header).map_err(|_| Error::ModelHeaderText)?;
        let mut header: Unique<Box<RawValue>> =
            serde_json::from_str(header).map_err(|e| Error::ModelHeader(printable(e)))?;
        let metadata = header.0.remove("__metadata__").ok_or(Error::ModelMetadata)?;
        let husky = Husky::parse(&metadata)?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in header.0 {
            let entry: Entry = serde_json::from_str(entry.get())
                .map_err(|e| Error::ModelTensorEntry { tensor: printable(&name), reason: printable(e) })?;
            tensors.insert(name, entry);
        }
        let precision = Precision::of(&tensors)?;
        check_layout(&tensors, data.len())?;
        let found = checksum(&husky.spec, [data].into_iter());
        if found != husky.blake3 {
            return Err(Error::ModelChecksum { expected: printable(husky.blake3), found });
        }
        Ok(Self { spec: husky.spec, precision, tensors, data })
    }

    /// The tensors are exactly those that the spec asks for.
    fn check_tensors(&self, expected: impl Iterator<Item = Tensor>) -> Result<()> {
        let expected: BTreeMap<String, Tensor> = expected.map(|tensor| (tensor.name.clone(), tensor)).collect();
        check_names(expected.keys(), self.tensors.keys())?;
        for (Tensor { name, dtype, shape }, entry) in expected.into_values().zip(self.tensors.values()) {
            if entry.dtype != dtype {
                let (expected, found) = (dtype.to_string(), entry.dtype.to_string());
                return Err(Error::ModelTensorTypes { tensor: name, expected, found });
            }
            if !entry.shape.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
                return Err(Error::ModelTensorShape { tensor: name, expected: shape, found: entry.shape.clone() });
            }
        }
        Ok(())
    }

    /// A tensor's values; 8-bit ones without their scales.
    fn values(&self, name: &str) -> Vec<f32> {
        let Entry { dtype, data_offsets: (start, stop), .. } = self.tensors[name];
        let bytes = &self.data[start as usize..stop as usize];
        match dtype {
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| from_half(u16::from_le_bytes(b))).collect(),
            Dtype::I8 => bytes.iter().map(|&b| f32::from(b.cast_signed())).collect(),
            _ => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        }
    }
}

impl Husky {
    fn parse(metadata: &RawValue) -> Result<Self> {
        let metadata: Unique<String> =
            serde_json::from_str(metadata.get()).map_err(|e| Error::ModelHeader(printable(e)))?;
        if let Some(key) = metadata.0.keys().find(|key| *key != KEY) {
            return Err(Error::ModelMetadataKey(printable(key)));
        }
        let husky = metadata.0.get(KEY).ok_or(Error::ModelMetadata)?;
        let unreadable = |e: serde_json::Error| Error::ModelDescription(printable(e));
        let Format { format } = serde_json::from_str(husky).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::ModelFormat(format));
        }
        serde_json::from_str(husky).map_err(unreadable)
    }
}

/// A tensor as a file has to have it.
struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Precision {
    /// What a layer's weights and bias are in a file.
    fn tensors(self, p: &Parameters) -> Vec<Tensor> {
        let channels = [p.bias_len()];
        let tensor = |name, dtype, shape: &[usize]| Tensor { name, dtype, shape: shape.to_vec() };
        let (weight, bias) = match self {
            Self::F32 => (Dtype::F32, Dtype::F32),
            Self::F16 => (Dtype::F16, Dtype::F16),
            Self::I8 => (Dtype::I8, Dtype::F32),
        };
        let mut tensors = vec![tensor(p.weight_name(), weight, &p.shape), tensor(p.bias_name(), bias, &channels)];
        if self == Self::I8 {
            tensors.push(tensor(p.scale_name(), Dtype::F32, &channels));
        }
        tensors
    }

    /// The one whose tensors these seem to be.
    fn of(tensors: &BTreeMap<String, Entry>) -> Result<Self> {
        let mut precision = None;
        for (name, entry) in tensors {
            precision = match (entry.dtype, precision) {
                (Dtype::I8, _) => Some(Self::I8),
                (Dtype::F16, None | Some(Self::F32)) => Some(Self::F16),
                (Dtype::F32, None) => Some(Self::F32),
                (Dtype::F16 | Dtype::F32, known) => known,
                (other, _) => {
                    return Err(Error::ModelTensorType { tensor: printable(name), found: other.to_string() });
                }
            };
        }
        precision.ok_or(Error::ModelNoTensors)
    }
}

/// The bytes of a tensor's values.
fn encode(tensor: &Tensor, values: &[f32]) -> Result<Vec<u8>> {
    match tensor.dtype {
        Dtype::F16 => {
            let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
            if let Some(i) = halves.iter().position(|h| !h.is_finite()) {
                return Err(Error::ModelHalfRange { tensor: tensor.name.clone(), value: values[i] });
            }
            Ok(halves.into_iter().flat_map(f16::to_le_bytes).collect())
        }
        Dtype::I8 => Ok(values.iter().map(|&v| (v as i8).cast_unsigned()).collect()),
        _ => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

/// Integers of at most 127, and the scale of each channel that makes the weights of them again. Channels are the last
/// dimension.
fn quantize(weights: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let mut scales = vec![0.0_f32; channels];
    for weights in weights.chunks_exact(channels) {
        scales.iter_mut().zip(weights).for_each(|(scale, weight)| *scale = scale.max(weight.abs() / 127.0));
    }
    let integer = |(i, weight): (usize, &f32)| {
        let scale = scales[i % channels];
        if scale == 0.0 { 0.0 } else { (weight / scale).round() }
    };
    let integers = weights.iter().enumerate().map(integer).collect();
    (integers, scales)
}

/// As [`f16::to_f32`], of which the compiler makes no vectors in WebAssembly.
fn from_half(bits: u16) -> f32 {
    // 2^112 is between the two formats' exponents.
    let magnitude = f32::from_bits(u32::from(bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    let magnitude = if magnitude < 65_536.0 { magnitude.to_bits() } else { magnitude.to_bits() | 0x7F80_0000 };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}

/// Cuts a file into header and data. Asks for the sizes first, so that nothing long is parsed.
fn split_header(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return Err(Error::ModelEmpty);
    }
    if bytes.len() > MAX_FILE {
        return Err(Error::ModelTooLarge(bytes.len()));
    }
    let truncated = |expected| Error::ModelTruncated { expected, found: bytes.len() as u64 };
    let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(truncated(LENGTH as u64))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 {
        return Err(Error::ModelHeaderLength(length));
    }
    rest.split_at_checked(length as usize).ok_or(truncated(LENGTH as u64 + length))
}

/// The tensors fill the data, each as long as its shape says, without gaps and in order.
fn check_layout(tensors: &BTreeMap<String, Entry>, data: usize) -> Result<()> {
    let mut by_offset: Vec<_> = tensors.iter().collect();
    by_offset.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in &by_offset {
        let tensor = || printable(name);
        let size = (entry.dtype.bitsize() / 8) as u64;
        let size = entry.shape.iter().try_fold(size, |n, &d| n.checked_mul(d));
        let (start, stop) = entry.data_offsets;
        if size.is_none() || stop.checked_sub(start) != size {
            return Err(Error::ModelTensorBytes { tensor: tensor(), start, stop });
        }
        if start < end {
            return Err(Error::ModelTensorOverlap(tensor()));
        }
        if start > end {
            return Err(Error::ModelTensorGap(tensor()));
        }
        end = stop;
    }
    match end.cmp(&(data as u64)) {
        Ordering::Less => return Err(Error::ModelTrailing(data as u64 - end)),
        Ordering::Greater => return Err(Error::ModelTensorsCut { expected: end, found: data as u64 }),
        Ordering::Equal => {}
    }
    // The checksum does not cover names, so two tensors of one shape could change places unseen.
    let in_order =
        |pair: &[(&String, &Entry)]| order((pair[0].1.dtype, pair[0].0), (pair[1].1.dtype, pair[1].0)).is_lt();
    match by_offset.windows(2).find(|pair| !in_order(pair)) {
        Some(pair) => Err(Error::ModelTensorOrder(printable(pair[1].0))),
        None => Ok(()),
    }
}

/// Larger types first, then names: as safetensors writes them.
fn order(a: (Dtype, &str), b: (Dtype, &str)) -> Ordering {
    b.0.cmp(&a.0).then(a.1.cmp(b.1))
}

/// Exactly the tensors of the spec.
fn check_names<'a>(expected: impl Iterator<Item = &'a String>, found: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut left: BTreeSet<_> = expected.collect();
    for name in found {
        if !left.remove(name) {
            return Err(Error::ModelTensorUnknown(printable(name)));
        }
    }
    left.first().map_or(Ok(()), |name| Err(Error::ModelTensorMissing((*name).clone())))
}

fn check_finite(tensor: &str, values: &[f32]) -> Result<()> {
    // As vectors first: the search goes value by value.
    let largest = values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
    if f32::from_bits(largest).is_finite() {
        return Ok(());
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::ModelTensorValue { tensor: tensor.to_owned(), index, value: values[index] }),
        None => Ok(()),
    }
}

/// BLAKE3, in hexadecimal, of the spec's JSON followed by the data.
fn checksum<'a>(spec: &RawValue, data: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(spec.get().as_bytes());
    data.for_each(|part| _ = hash.update(part));
    hash.finalize().to_string()
}

/// A JSON object in which no key comes twice. serde_json's own maps keep the last and hide the others.
struct Unique<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = Unique<V>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, V>()? {
            if entries.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key `{key}` comes twice")));
            }
            entries.insert(key, value);
        }
        Ok(Unique(entries))
    }
}
