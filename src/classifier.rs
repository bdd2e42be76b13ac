use crate::{Pixels, Result, Spec, Verdict, engine::Network, gate, resize, weights};

/// A loaded model: the whole way from a photo to an answer.
///
/// ```
/// use husky::{Classifier, Pixels};
///
/// let classifier = Classifier::load(&std::fs::read("models/tiny.safetensors")?)?;
/// assert_eq!(classifier.spec().labels, ["husky", "nothusky"]);
/// // A camera's frame, say, or `classify` for the bytes of a photo's file. This one is all grey.
/// let frame = Pixels::from_rgb(64, 48, vec![128; 64 * 48 * 3])?;
/// let verdict = classifier.classify_pixels(&frame)?;
/// assert!(verdict.unsure, "it is no photo");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Classifier {
    spec: Spec,
    network: Network,
}

impl Classifier {
    /// Loads a model file's bytes. Everything in them is checked before any of it is used.
    ///
    /// # Errors
    /// One of the `Model…` variants of [`Error`](crate::Error).
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let (spec, mut weights) = weights::read(bytes)?;
        let network = Network::new(&spec.steps()?, &mut |name| weights.take(name));
        Ok(Self { spec, network })
    }

    /// Judges a photo from its file's bytes (JPEG, PNG, WebP, GIF or BMP).
    ///
    /// # Errors
    /// One of the `Photo…` variants of [`Error`](crate::Error), and those of [`Classifier::classify_pixels`].
    #[cfg(any(feature = "jpeg", feature = "png"))]
    pub fn classify(&self, photo: &[u8]) -> Result<Verdict> {
        self.classify_pixels(&crate::decode::decode(photo, self.spec.input.size)?)
    }

    /// Judges a decoded picture, such as a camera frame.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`](crate::Error::ModelAnswer) where the network's answer is no number.
    pub fn classify_pixels(&self, pixels: &Pixels) -> Result<Verdict> {
        let picture = resize::resize(pixels, self.spec.input.size);
        self.verdict(&picture, &self.network.forward(&self.spec.input.normalize(picture.rgb())))
    }

    /// The answer that the logits of a resized picture are.
    pub(crate) fn verdict(&self, picture: &Pixels, logits: &[f32]) -> Result<Verdict> {
        let verdict = Verdict::from_logits(&self.spec, logits)?;
        Ok(Verdict { unsure: verdict.unsure || !gate::may_be_photo(picture), ..verdict })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// What the model file says about itself.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}
