//! The file around the values: header, layout, checksum.

use std::cmp::Ordering;

use husky_engine::{Values, from_integers};
use safetensors::Dtype;

use super::{
    FORMAT, MAX_FILE, MAX_HEADER,
    precision::{Precision, Tensor, decode},
};
use crate::{
    Error, Result,
    error::printable,
    json::{self, FromJson, Json, Object},
    spec::Parameters,
};

/// The metadata's one key.
pub(super) const KEY: &str = "husky";
/// Bytes of the header's length, which a safetensors file begins with.
const LENGTH: usize = 8;

/// A tensor's place. 64 bits on every target, so that a bad file gives the same error everywhere.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    start: u64,
    stop: u64,
}

/// A file whose layout and checksum are right.
pub(super) struct File<'a> {
    /// JSON
    pub(super) spec: String,
    pub(super) precision: Precision,
    tensors: Vec<Entry>,
    data: &'a [u8],
}

/// The value of the metadata's key.
struct Husky {
    blake3: String,
    /// JSON
    spec: String,
}

impl<'a> File<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (header, data) = split_header(bytes)?;
        let (husky, header) = Husky::of(header)?;
        let tensors = header.rest().into_iter().map(Entry::read).collect::<Result<Vec<_>>>()?;
        let precision = Precision::of(tensors.iter().map(|tensor| tensor.dtype)).ok_or(Error::ModelNoTensors)?;
        check_layout(&tensors, data.len() as u64)?;
        let found = checksum(&husky.spec, [data].into_iter());
        if found != husky.blake3 {
            return Err(Error::ModelChecksum { expected: printable(husky.blake3), found });
        }
        Ok(Self { spec: husky.spec, precision, tensors, data })
    }

    /// The checksum that a file states.
    pub(super) fn digest(bytes: &[u8]) -> Result<String> {
        Ok(Husky::of(split_header(bytes)?.0)?.0.blake3)
    }

    /// The tensors are exactly those that the spec asks for.
    pub(super) fn check_tensors(&self, expected: &[Tensor]) -> Result<()> {
        if let Some(unknown) = self.tensors.iter().find(|found| !expected.iter().any(|e| e.name == found.name)) {
            return Err(Error::ModelTensorUnknown(printable(&unknown.name)));
        }
        for Tensor { name, dtype, shape } in expected {
            let Some(found) = self.tensor(name) else { return Err(Error::ModelTensorMissing(name.clone())) };
            if found.dtype != *dtype {
                let (expected, found) = (dtype.to_string(), found.dtype.to_string());
                return Err(Error::ModelTensorTypes { tensor: name.clone(), expected, found });
            }
            if !found.shape.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
                let (expected, found) = (shape.clone(), found.shape.clone());
                return Err(Error::ModelTensorShape { tensor: name.clone(), expected, found });
            }
        }
        Ok(())
    }

    /// A layer's weights and bias, as [`check_tensors`](Self::check_tensors) found them.
    pub(super) fn values(&self, p: &Parameters) -> [(String, Values); 2] {
        let data = |name: &str| {
            let Entry { dtype, start, stop, .. } = *self.tensor(name).expect("the tensors were checked");
            (dtype, &self.data[start as usize..stop as usize])
        };
        let floats = |name: &str| {
            let (dtype, bytes) = data(name);
            decode(dtype, bytes)
        };
        let (weight, bias) = (p.weight_name(), p.bias_name());
        let weights = match self.precision {
            Precision::I8 => from_integers(data(&weight).1, &floats(&p.scale_name()).into_singles()).into(),
            Precision::F16 | Precision::F32 => floats(&weight),
        };
        let biases = floats(&bias);
        [(weight, weights), (bias, biases)]
    }

    fn tensor(&self, name: &str) -> Option<&Entry> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

impl Husky {
    /// The one of a file's header, and what else that holds.
    fn of(header: &[u8]) -> Result<(Self, Object)> {
        let header = std::str::from_utf8(header).map_err(|_| Error::ModelHeaderText)?;
        let unreadable = |why| Error::ModelHeader(printable(why));
        let mut header: Object = json::read(header).map_err(unreadable)?;
        let metadata: Option<Object> = json::path(header.take("__metadata__")).map_err(unreadable)?;
        Ok((Self::parse(metadata.ok_or(Error::ModelMetadata)?)?, header))
    }

    fn parse(mut metadata: Object) -> Result<Self> {
        let text = json::path(metadata.take::<String>(KEY)).map_err(|why| Error::ModelHeader(printable(why)))?;
        if let Some((key, _)) = metadata.rest().first() {
            return Err(Error::ModelMetadataKey(printable(key)));
        }
        let text = text.ok_or(Error::ModelMetadata)?;
        let unreadable = |why| Error::ModelDescription(printable(why));
        let mut fields: Object = json::read(&text).map_err(unreadable)?;
        // It tells whether the rest can be read.
        let format = json::path(fields.field("format")).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::ModelFormat(format));
        }
        let blake3: String = json::path(fields.field("blake3")).map_err(unreadable)?;
        json::path(fields.field::<Object>("spec").and_then(|_| fields.end())).map_err(unreadable)?;
        // The checksum is that of the text, which lies as it was written.
        let spec = text.strip_prefix(&before_spec(&blake3)).and_then(|rest| rest.strip_suffix('}'));
        let spec = spec.ok_or_else(|| unreadable("it is not as husky writes it".to_owned()))?.to_owned();
        Ok(Self { blake3, spec })
    }
}

impl Entry {
    fn read((name, json): (String, Json)) -> Result<Self> {
        let unreadable = |why| Error::ModelTensorEntry { tensor: printable(&name), reason: printable(why) };
        let fields = || {
            let mut entry = Object::from_json(json)?;
            let fields: (String, Vec<u64>, [u64; 2]) =
                (entry.field("dtype")?, entry.field("shape")?, entry.field("data_offsets")?);
            entry.end()?;
            Ok(fields)
        };
        let (dtype, shape, [start, stop]) = json::path(fields()).map_err(unreadable)?;
        let dtype = match &dtype[..] {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "I8" => Dtype::I8,
            _ => return Err(Error::ModelTensorType { tensor: printable(name), found: printable(dtype) }),
        };
        Ok(Self { name, dtype, shape, start, stop })
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

/// What the metadata's value has before the spec; after it, a brace.
pub(super) fn before_spec(blake3: &str) -> String {
    format!(r#"{{"format":{FORMAT},"blake3":"{blake3}","spec":"#)
}

/// The tensors fill the data, each as long as its shape says, without gaps and in order.
fn check_layout(tensors: &[Entry], data: u64) -> Result<()> {
    let mut end = 0;
    for Entry { name, dtype, shape, start, stop } in tensors {
        let tensor = || printable(name);
        let size = (dtype.bitsize() / 8) as u64;
        let size = shape.iter().try_fold(size, |n, &d| n.checked_mul(d));
        let (start, stop) = (*start, *stop);
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
    match end.cmp(&data) {
        Ordering::Less => return Err(Error::ModelTrailing(data - end)),
        Ordering::Greater => return Err(Error::ModelTensorsCut { expected: end, found: data }),
        Ordering::Equal => {}
    }
    // The checksum does not cover names, so two tensors of one shape could change places unseen.
    let in_order = |pair: &[Entry]| order((pair[0].dtype, &pair[0].name), (pair[1].dtype, &pair[1].name)).is_lt();
    match tensors.windows(2).find(|pair| !in_order(pair)) {
        Some(pair) => Err(Error::ModelTensorOrder(printable(&pair[1].name))),
        None => Ok(()),
    }
}

/// Larger types first, then names: as safetensors writes them.
pub(super) fn order(a: (Dtype, &str), b: (Dtype, &str)) -> Ordering {
    b.0.cmp(&a.0).then(a.1.cmp(b.1))
}

/// BLAKE3, in hexadecimal, of the spec's JSON followed by the data.
pub(super) fn checksum<'a>(spec: &'a str, data: impl Iterator<Item = &'a [u8]>) -> String {
    let parts: Vec<&[u8]> = [spec.as_bytes()].into_iter().chain(data).collect();
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    husky_engine::blake3(&parts).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
