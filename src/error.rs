/// One variant for each way to be wrong. Every message is one sentence that says what is wrong and what to do; the
/// caller, who knows the file's name, puts it in front.
///
/// ```
/// use husky::Error;
///
/// let error = husky::weights::read(b"").unwrap_err();
/// assert_eq!(error, Error::ModelEmpty);
/// assert_eq!(error.code(), "model-empty");
/// assert_eq!(error.to_string(), "the model file is empty: get it again or export it again");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file without bytes.
    #[error("the file is empty: choose a photo")]
    PhotoEmpty,
    /// A longer file than is accepted.
    #[error("the photo's file has {0} bytes, and at most 64 MiB are accepted: export it smaller")]
    PhotoTooLarge(usize),
    /// A format that is not read here. It may be a good photo: a browser may know it.
    #[error("this is {0}, and JPEG, PNG, WebP, GIF and BMP photos are read: export it as one of these")]
    PhotoFormat(&'static str),
    /// A format or a colour profile that this build leaves to one with the feature `decode`.
    #[error("this is a rarer kind of photo than this build of husky reads: build it with its feature `decode`")]
    PhotoRare,
    /// A file that does not keep to its format.
    #[error("the photo is damaged ({0}): get it again from where it came from")]
    PhotoCorrupt(String),
    /// More memory than is accepted.
    #[error("decoded, the photo takes more than 256 MiB of memory: resize it or export it with 8 bits a channel")]
    PhotoMemory,
    /// An embedded colour profile that can't be read.
    #[error("the photo's colour profile can't be read, so its colours are unknown: export it as sRGB")]
    PhotoColorProfile,
    /// An embedded colour profile for other pixels.
    #[error("the photo's colour profile is for another kind of pixels than it has: export it as sRGB")]
    PhotoColorSpace,
    /// No pixels, or more than the limits allow.
    #[error(
        "the picture is {width}x{height} pixels, and 1 to 16,384 a side and 67 million in all are accepted: resize it"
    )]
    PhotoDimensions {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A frame's buffer and its size do not fit.
    #[error("a frame of {width}x{height} pixels takes {expected} bytes, and {found} came")]
    FrameLength {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes that such a frame takes.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A file without bytes.
    #[error("the model file is empty: get it again or export it again")]
    ModelEmpty,
    /// A longer file than is accepted.
    #[error("the model file has {0} bytes, and at most 256 MiB are accepted: train a smaller network")]
    ModelTooLarge(usize),
    /// The file ends within its header.
    #[error("the model file ends after {found} bytes, and its header takes {expected}: get it again")]
    ModelTruncated {
        /// Bytes that the file has at least.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// A header longer than is accepted, which is also what other kinds of file look like.
    #[error("the model file's header claims {0} bytes, and at most 1 MiB is accepted: is it a husky model file?")]
    ModelHeaderLength(u64),
    /// The header is no text.
    #[error("the model file's header is not UTF-8 text: is it a husky model file?")]
    ModelHeaderText,
    /// The header is no JSON of the right form.
    #[error("the model file's header can't be read ({0}): is it a husky model file?")]
    ModelHeader(String),
    /// A safetensors file without our metadata.
    #[error("the model file has no metadata named `husky`: it was not made by husky")]
    ModelMetadata,
    /// Metadata besides ours.
    #[error("the model file has the metadata \"{0}\", and only `husky` is read: it was not made by husky")]
    ModelMetadataKey(String),
    /// A format of another time.
    #[error("the model file has format {0}, and format 2 is read: use the version of husky that made it")]
    ModelFormat(u32),
    /// The metadata is no JSON of the right form.
    #[error("the model file's metadata can't be read ({0}): export it again")]
    ModelDescription(String),
    /// The spec is no JSON of the right form, or names something unknown.
    #[error("the model file's description of its network can't be used ({0}): use the version of husky that made it")]
    ModelSpec(String),
    /// Bytes changed since the file was written.
    #[error("the model file is damaged: its checksum is {expected:.8}… and its content's {found:.8}…, get it again")]
    ModelChecksum {
        /// BLAKE3 hash that the file claims.
        expected: String,
        /// BLAKE3 hash that it has.
        found: String,
    },
    /// No tensors at all.
    #[error("the model file has no weights")]
    ModelNoTensors,
    /// A tensor's entry in the header is no JSON of the right form.
    #[error("the model file's entry for the tensor \"{tensor}\" can't be read ({reason})")]
    ModelTensorEntry {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of a type that is not read.
    #[error("the model file's tensor \"{tensor}\" is of type {found}, and F32, F16 and I8 are read: export it again")]
    ModelTensorType {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// Tensors of types that do not go together.
    #[error(
        "the model file's tensor \"{tensor}\" is of type {found}, and beside the others it must be {expected}: export it again"
    )]
    ModelTensorTypes {
        /// The tensor.
        tensor: String,
        /// The type that goes with the other tensors.
        expected: String,
        /// Its type.
        found: String,
    },
    /// A tensor's bytes and its shape do not fit.
    #[error("the model file's tensor \"{tensor}\" lies in bytes {start} to {stop}, which do not fit its shape")]
    ModelTensorBytes {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// The byte after its last.
        stop: u64,
    },
    /// Two tensors share bytes.
    #[error("the model file's tensor \"{0}\" overlaps the one before it")]
    ModelTensorOverlap(String),
    /// Bytes that belong to no tensor.
    #[error("the model file has unused bytes before its tensor \"{0}\"")]
    ModelTensorGap(String),
    /// The tensors' names and places are in different orders.
    #[error("the model file's tensor \"{0}\" is out of order: larger types come first, then names count")]
    ModelTensorOrder(String),
    /// The file ends within its tensors.
    #[error("the model file's tensors take {expected} bytes, and it ends after {found} of them: get it again")]
    ModelTensorsCut {
        /// Bytes that the tensors take.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// Bytes after the last tensor.
    #[error("the model file has {0} bytes after its last tensor: get it again")]
    ModelTrailing(u64),
    /// A tensor of the network is not there.
    #[error("the model file's network needs the tensor \"{0}\", and it is not there")]
    ModelTensorMissing(String),
    /// A tensor that the network has no use for.
    #[error("the model file has the tensor \"{0}\", and its network has no use for it")]
    ModelTensorUnknown(String),
    /// A tensor of another shape than the network needs.
    #[error(
        "the model file's tensor \"{tensor}\" has the shape [{}], and its network needs [{}]",
        list(found),
        list(expected)
    )]
    ModelTensorShape {
        /// The tensor.
        tensor: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The file's.
        found: Vec<u64>,
    },
    /// Weights given with another number of values than the network needs.
    #[error("the tensor \"{tensor}\" has {found} values, and the network needs {expected}")]
    ModelTensorLength {
        /// The tensor.
        tensor: String,
        /// Values that the network needs.
        expected: usize,
        /// Values that came.
        found: usize,
    },
    /// NaN or an infinity among the weights.
    #[error(
        "the tensor \"{tensor}\" holds {} at place {index}, and every weight must be finite: train it again",
        if value.is_nan() { "NaN" } else { "an infinity" }
    )]
    ModelTensorValue {
        /// The tensor.
        tensor: String,
        /// The value's place, from 0.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A weight that is too large for 16 bits.
    #[error("the tensor \"{tensor}\" holds a value that no 16-bit float can hold: write the model with 32 bits")]
    ModelHalfRange {
        /// The tensor.
        tensor: String,
        /// The value.
        value: f32,
    },
    /// The network's answer is NaN or infinite.
    #[error("the model's answer for this photo is not a number: its weights are too large, train it again")]
    ModelAnswer,
    /// The temperature is no positive number.
    #[error("the model file's temperature must be a positive number: export it again")]
    ModelTemperature(f32),
    /// The threshold is no probability.
    #[error("the model file's threshold must lie between 0 and 1: export it again")]
    ModelThreshold(f32),
    /// The probabilities between which answers are unsure don't enclose the threshold.
    #[error("the model file's range of unsure answers must lie around its threshold: calibrate it again")]
    ModelUnsure(f32, f32),
    /// The last layer does not give one value a label.
    #[error("the model file has {labels} labels, so its last layer must be a linear dense one with {outputs} units")]
    ModelOutput {
        /// Labels in the file.
        labels: usize,
        /// Units that they need.
        outputs: usize,
    },
    /// Too few or too many labels.
    #[error("the model file has {0} labels, and 2 to 10,000 are accepted")]
    ModelLabelCount(usize),
    /// A label that can't be shown.
    #[error("label {index} of the model file is empty, too long or not printable")]
    ModelLabel {
        /// Its place, from 0.
        index: usize,
    },
    /// The same label twice.
    #[error("the model file has the label \"{0}\" twice")]
    ModelLabelTwice(String),
    /// A text about the model that can't be shown.
    #[error("the model file's {0} is too long or not printable")]
    ModelText(&'static str),
    /// An input size outside the limits.
    #[error("the model file asks for pictures of {0} pixels a side, and 1 to 1,024 are accepted")]
    ModelInputSize(u32),
    /// Mean or scale are unusable.
    #[error("the model file's pixel mean or scale is not finite or scales to zero")]
    ModelNormalization,
    /// Too few or too many layers.
    #[error("the model file has {0} layers, and 1 to 256 are accepted")]
    ModelLayerCount(usize),
    /// A layer that can't stand where it stands.
    #[error("layer {index} of the model file {reason}")]
    ModelLayer {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More memory or work than is accepted.
    #[error("layer {index} of the model file needs more memory or time than is accepted")]
    ModelCost {
        /// The first layer over the limit, from 0.
        index: usize,
    },
}

impl Error {
    /// A stable name for programs: it stays when the sentence changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PhotoEmpty => "photo-empty",
            Self::PhotoTooLarge(_) => "photo-too-large",
            Self::PhotoFormat(_) => "photo-format",
            Self::PhotoRare => "photo-rare",
            Self::PhotoCorrupt(_) => "photo-corrupt",
            Self::PhotoMemory => "photo-memory",
            Self::PhotoColorProfile => "photo-color-profile",
            Self::PhotoColorSpace => "photo-color-space",
            Self::PhotoDimensions { .. } => "photo-dimensions",
            Self::FrameLength { .. } => "frame-length",
            Self::ModelEmpty => "model-empty",
            Self::ModelTooLarge(_) => "model-too-large",
            Self::ModelTruncated { .. } => "model-truncated",
            Self::ModelHeaderLength(_) => "model-header-length",
            Self::ModelHeaderText => "model-header-text",
            Self::ModelHeader(_) => "model-header",
            Self::ModelMetadata => "model-metadata",
            Self::ModelMetadataKey(_) => "model-metadata-key",
            Self::ModelFormat(_) => "model-format",
            Self::ModelDescription(_) => "model-description",
            Self::ModelSpec(_) => "model-spec",
            Self::ModelChecksum { .. } => "model-checksum",
            Self::ModelNoTensors => "model-no-tensors",
            Self::ModelTensorEntry { .. } => "model-tensor-entry",
            Self::ModelTensorType { .. } => "model-tensor-type",
            Self::ModelTensorTypes { .. } => "model-tensor-types",
            Self::ModelTensorBytes { .. } => "model-tensor-bytes",
            Self::ModelTensorOverlap(_) => "model-tensor-overlap",
            Self::ModelTensorGap(_) => "model-tensor-gap",
            Self::ModelTensorOrder(_) => "model-tensor-order",
            Self::ModelTensorsCut { .. } => "model-tensors-cut",
            Self::ModelTrailing(_) => "model-trailing",
            Self::ModelTensorMissing(_) => "model-tensor-missing",
            Self::ModelTensorUnknown(_) => "model-tensor-unknown",
            Self::ModelTensorShape { .. } => "model-tensor-shape",
            Self::ModelTensorLength { .. } => "model-tensor-length",
            Self::ModelTensorValue { .. } => "model-tensor-value",
            Self::ModelHalfRange { .. } => "model-half-range",
            Self::ModelAnswer => "model-answer",
            Self::ModelTemperature(_) => "model-temperature",
            Self::ModelThreshold(_) => "model-threshold",
            Self::ModelUnsure(..) => "model-unsure",
            Self::ModelOutput { .. } => "model-output",
            Self::ModelLabelCount(_) => "model-label-count",
            Self::ModelLabel { .. } => "model-label",
            Self::ModelLabelTwice(_) => "model-label-twice",
            Self::ModelText(_) => "model-text",
            Self::ModelInputSize(_) => "model-input-size",
            Self::ModelNormalization => "model-normalization",
            Self::ModelLayerCount(_) => "model-layer-count",
            Self::ModelLayer { .. } => "model-layer",
            Self::ModelCost { .. } => "model-cost",
        }
    }
}

fn list(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Text from a file, fit to be shown: on one line, without control characters, and short.
pub(crate) fn printable(text: impl ToString) -> String {
    const LONGEST: usize = 200;
    let text = text.to_string();
    let mut shown: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
