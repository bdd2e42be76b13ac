use crate::{Pixels, Result, Spec, Verdict, engine::Network, gate, resize, weights};

/// A loaded model: the whole way from a photo to an answer.
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
    #[cfg(feature = "decode")]
    pub fn classify(&self, photo: &[u8]) -> Result<Verdict> {
        self.classify_pixels(&crate::decode::decode(photo, self.spec.input.size)?)
    }

    /// Judges a decoded picture, such as a camera frame.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`](crate::Error::ModelAnswer) where the network's answer is no number.
    pub fn classify_pixels(&self, pixels: &Pixels) -> Result<Verdict> {
        let picture = resize::resize(pixels, self.spec.input.size);
        let input = self.spec.input.normalize(picture.rgb());
        let verdict = Verdict::from_logits(&self.spec, &self.network.forward(&input))?;
        Ok(Verdict { unsure: verdict.unsure || !gate::may_be_photo(&picture), ..verdict })
    }

    /// What the model file says about itself.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}
