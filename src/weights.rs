//! The model file: structure and weights in one safetensors file, bytes to bytes.
//!
//! Its metadata has one key, `husky`, with the JSON `{"format":1,"sha256":"…","spec":{…}}`. The tensors are those that
//! the [`Spec`] asks for, little-endian, all f32 or all f16, in the order of their names and without gaps. The SHA-256
//! covers the spec's JSON and the data after the header. [`write()`] gives equal models equal files.

use std::{
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
use sha2::{Digest, Sha256};

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
pub const FORMAT: u32 = 1;

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
}

impl Weights {
    /// Takes `tensors`, `NAME.weight` and `NAME.bias` of each [`Parameters`] of the spec.
    ///
    /// # Errors
    /// Those of [`Spec::steps`]; [`Error::ModelTensorMissing`], [`Error::ModelTensorUnknown`],
    /// [`Error::ModelTensorLength`] and [`Error::ModelTensorValue`].
    pub fn new(spec: &Spec, tensors: BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let shapes = shapes(spec)?;
        check_names(&shapes, tensors.keys())?;
        for ((name, shape), values) in shapes.iter().zip(tensors.values()) {
            let expected = shape.iter().product();
            if values.len() != expected {
                return Err(Error::ModelTensorLength { tensor: name.clone(), expected, found: values.len() });
            }
            check_finite(name, values)?;
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
}

/// Reads a model file's bytes. Everything in them is checked before it is used, and nothing in them is executed.
///
/// # Errors
/// The `Model…` variants of [`Error`], one for each way to be wrong.
pub fn read(bytes: &[u8]) -> Result<(Spec, Weights)> {
    let file = File::parse(bytes)?;
    let spec: Spec = serde_json::from_str(file.spec.get()).map_err(|e| Error::ModelSpec(printable(e)))?;
    let shapes = shapes(&spec)?;
    check_names(&shapes, file.tensors.keys())?;
    let mut tensors = BTreeMap::new();
    for (name, shape) in shapes {
        let Entry { shape: found, data_offsets: (start, stop), .. } = &file.tensors[&name];
        if !found.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
            return Err(Error::ModelTensorShape { tensor: name, expected: shape, found: found.clone() });
        }
        let values = file.precision.decode(&file.data[*start as usize..*stop as usize]);
        check_finite(&name, &values)?;
        tensors.insert(name, values);
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
    for (name, shape) in shapes(spec)? {
        let data = precision.encode(&name, weights.get(&name))?;
        tensors.push((name, shape, data));
    }
    let spec = serde_json::value::to_raw_value(spec).expect("a spec is plain data");
    let sha256 = checksum(&spec, tensors.iter().map(|(_, _, data)| &data[..]));
    let husky = serde_json::to_string(&Husky { format: FORMAT, sha256, spec }).expect("so is this");
    let views = tensors.iter().map(|(name, shape, data)| {
        (name, TensorView::new(precision.dtype(), shape.clone(), data).expect("the values fill their shape"))
    });
    // Of equal types, safetensors puts tensors in the order of their names, and pads the header to 8 bytes.
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
    sha256: String,
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
        let precision = check_precision(&tensors)?;
        check_layout(&tensors, data.len())?;
        let found = checksum(&husky.spec, [data].into_iter());
        if found != husky.sha256 {
            return Err(Error::ModelChecksum { expected: printable(husky.sha256), found });
        }
        Ok(Self { spec: husky.spec, precision, tensors, data })
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

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        }
    }

    fn encode(self, tensor: &str, values: &[f32]) -> Result<Vec<u8>> {
        match self {
            Self::F32 => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Self::F16 => {
                let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
                if let Some(i) = halves.iter().position(|h| !h.is_finite()) {
                    return Err(Error::ModelHalfRange { tensor: tensor.to_owned(), value: values[i] });
                }
                Ok(halves.into_iter().flat_map(f16::to_le_bytes).collect())
            }
        }
    }
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

/// All tensors are of one type that is known.
fn check_precision(tensors: &BTreeMap<String, Entry>) -> Result<Precision> {
    let mut precision = None;
    for (name, entry) in tensors {
        let this = match entry.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16,
            other => return Err(Error::ModelTensorType { tensor: printable(name), found: other.to_string() }),
        };
        if *precision.get_or_insert(this) != this {
            return Err(Error::ModelTensorTypes);
        }
    }
    precision.ok_or(Error::ModelNoTensors)
}

/// The tensors fill the data, each as long as its shape says, without gaps and in the order of their names.
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
        std::cmp::Ordering::Less => return Err(Error::ModelTrailing(data as u64 - end)),
        std::cmp::Ordering::Greater => return Err(Error::ModelTensorsCut { expected: end, found: data as u64 }),
        std::cmp::Ordering::Equal => {}
    }
    // The checksum does not cover names, so two tensors of one shape could change places unseen.
    match by_offset.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        Some(pair) => Err(Error::ModelTensorOrder(printable(pair[1].0))),
        None => Ok(()),
    }
}

/// The tensors that a spec asks for, in the order of their names, with their shapes.
fn shapes(spec: &Spec) -> Result<BTreeMap<String, Vec<usize>>> {
    let steps = spec.steps()?;
    let parameters = steps.iter().flat_map(Step::parameters);
    let tensors = |p: &Parameters| [(p.weight_name(), p.shape.clone()), (p.bias_name(), vec![p.bias_len()])];
    Ok(parameters.flat_map(tensors).collect())
}

/// Exactly the tensors of the spec.
fn check_names<'a>(shapes: &BTreeMap<String, Vec<usize>>, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut left: BTreeSet<_> = shapes.keys().collect();
    for name in names {
        if !left.remove(name) {
            return Err(Error::ModelTensorUnknown(printable(name)));
        }
    }
    left.first().map_or(Ok(()), |name| Err(Error::ModelTensorMissing((*name).clone())))
}

fn check_finite(tensor: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::ModelTensorValue { tensor: tensor.to_owned(), index, value: values[index] }),
        None => Ok(()),
    }
}

/// SHA-256, in hexadecimal, of the spec's JSON followed by the data.
fn checksum<'a>(spec: &RawValue, data: impl Iterator<Item = &'a [u8]>) -> String {
    let hash = Sha256::new_with_prefix(spec.get());
    let hash = data.fold(hash, |hash, part| hash.chain_update(part));
    hex::encode(hash.finalize())
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
