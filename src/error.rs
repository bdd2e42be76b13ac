/// One variant for each way to be wrong. Every message is one sentence that says what is wrong and what to do; the
/// caller, who knows the file's name, puts it in front.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// The temperature is no positive number.
    #[error("the model file has the temperature {0}, which must be a positive number: export it again")]
    ModelTemperature(f32),
    /// The threshold is no probability.
    #[error("the model file has the threshold {0}, which must lie between 0 and 1: export it again")]
    ModelThreshold(f32),
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
    #[error("the model file has the label {0:?} twice")]
    ModelLabelTwice(String),
    /// A name that can't be shown.
    #[error("the model file's name for itself is too long or not printable")]
    ModelName,
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
            Self::PhotoDimensions { .. } => "photo-dimensions",
            Self::FrameLength { .. } => "frame-length",
            Self::ModelTemperature(_) => "model-temperature",
            Self::ModelThreshold(_) => "model-threshold",
            Self::ModelOutput { .. } => "model-output",
            Self::ModelLabelCount(_) => "model-label-count",
            Self::ModelLabel { .. } => "model-label",
            Self::ModelLabelTwice(_) => "model-label-twice",
            Self::ModelName => "model-name",
            Self::ModelInputSize(_) => "model-input-size",
            Self::ModelNormalization => "model-normalization",
            Self::ModelLayerCount(_) => "model-layer-count",
            Self::ModelLayer { .. } => "model-layer",
            Self::ModelCost { .. } => "model-cost",
        }
    }
}
