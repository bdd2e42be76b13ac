//! The file around the values: header, layout, checksum.

use std::{cmp::Ordering, collections::BTreeMap, fmt, marker::PhantomData};

use safetensors::Dtype;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    FORMAT, MAX_FILE, MAX_HEADER, check_names,
    precision::{Precision, Tensor, decode},
};
use crate::{Error, Result, error::printable};

/// The metadata's one key.
pub(super) const KEY: &str = "husky";
/// Bytes of the header's length, which a safetensors file begins with.
const LENGTH: usize = 8;

/// The value of the metadata's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Husky {
    pub(super) format: u32,
    pub(super) blake3: String,
    pub(super) spec: Box<RawValue>,
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
pub(super) struct File<'a> {
    pub(super) spec: Box<RawValue>,
    pub(super) precision: Precision,
    tensors: BTreeMap<String, Entry>,
    data: &'a [u8],
}

impl<'a> File<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
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
        let precision = Precision::of(tensors.iter().map(|(name, entry)| (name, entry.dtype)))?;
        check_layout(&tensors, data.len())?;
        let found = checksum(&husky.spec, [data].into_iter());
        if found != husky.blake3 {
            return Err(Error::ModelChecksum { expected: printable(husky.blake3), found });
        }
        Ok(Self { spec: husky.spec, precision, tensors, data })
    }

    /// The tensors are exactly those that the spec asks for.
    pub(super) fn check_tensors(&self, expected: impl Iterator<Item = Tensor>) -> Result<()> {
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
    pub(super) fn values(&self, name: &str) -> Vec<f32> {
        let Entry { dtype, data_offsets: (start, stop), .. } = self.tensors[name];
        let bytes = &self.data[start as usize..stop as usize];
        decode(dtype, bytes)
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

/// Cuts a file into header and data. Asks for the sizes first, so that nothing long is parsed.
pub(super) fn split_header(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
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
pub(super) fn order(a: (Dtype, &str), b: (Dtype, &str)) -> Ordering {
    b.0.cmp(&a.0).then(a.1.cmp(b.1))
}

/// BLAKE3, in hexadecimal, of the spec's JSON followed by the data.
pub(super) fn checksum<'a>(spec: &RawValue, data: impl Iterator<Item = &'a [u8]>) -> String {
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
