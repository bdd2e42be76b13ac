use crate::{Pixels, Result, Spec, Verdict, engine::Network, gate, hidden::hides_another, resize, weights};

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
        let (spec, mut tensors) = weights::stored(bytes)?;
        let network = Network::new(&spec.steps()?, &mut |name| {
            // Each is taken once, so that none lies in memory packed and as it came.
            let place = tensors.iter().position(|(other, _)| other == name).expect("the tensors fit their spec");
            tensors.swap_remove(place).1
        });
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

    /// As [`Classifier::classify`], of several photos' files, to the same answers and faster: what reads all of a large
    /// layer's weights reads them once.
    #[cfg(any(feature = "jpeg", feature = "png"))]
    pub fn classify_all(&self, photos: &[Vec<u8>]) -> Vec<Result<Verdict>> {
        let decode = |photo: &Vec<u8>| Ok(self.shrink(&crate::decode::decode(photo, self.spec.input.size)?));
        let photos: Vec<Result<Shrunk>> = photos.iter().map(decode).collect();
        let normalized = |photo: &Shrunk| self.spec.input.normalize(photo.picture.rgb());
        let inputs: Vec<_> = photos.iter().flatten().map(normalized).collect();
        let mut logits = self.network.forward_all(&inputs.iter().map(Vec::as_slice).collect::<Vec<_>>()).into_iter();
        let mut verdict = |photo| self.verdict(&photo, &logits.next().expect("each photo has its own"));
        photos.into_iter().map(|photo| verdict(photo?)).collect()
    }

    /// Judges a decoded picture, such as a camera frame.
    ///
    /// # Errors
    /// [`Error::ModelAnswer`](crate::Error::ModelAnswer) where the network's answer is no number.
    pub fn classify_pixels(&self, pixels: &Pixels) -> Result<Verdict> {
        let photo = self.shrink(pixels);
        self.verdict(&photo, &self.network.forward(&self.spec.input.normalize(photo.picture.rgb())))
    }

    pub(crate) fn shrink(&self, pixels: &Pixels) -> Shrunk {
        let size = self.spec.input.size;
        Shrunk { picture: resize::resize(pixels, size), hides_another: hides_another(pixels, size) }
    }

    /// The answer that the logits of a photo are.
    pub(crate) fn verdict(&self, photo: &Shrunk, logits: &[f32]) -> Result<Verdict> {
        let verdict = Verdict::from_logits(&self.spec, logits)?;
        let hides_another = photo.hides_another;
        let unsure = verdict.unsure || hides_another || !gate::may_be_photo(&photo.picture);
        Ok(Verdict { unsure, hides_another, ..verdict })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// What the model file says about itself.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// A photo in the size of the network's input, and what was seen of it in its own.
pub(crate) struct Shrunk {
    pub(crate) picture: Pixels,
    hides_another: bool,
}
