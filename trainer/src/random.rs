//! All randomness. A generator is keyed by what it is for, never by what ran before it, so neither the number of threads
//! nor a resumed run changes a number.

use rand_chacha::ChaCha8Rng;

/// What random numbers are for. The numbers behind the names are part of what a seed means: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// A layer's first weights; `sample` is the layer.
    Initialization,
    /// The order of the training photos; `epoch` is the pass over them.
    Shuffle,
    /// Which photos become the validation part.
    Split,
    /// How a training photo is distorted; `sample` is its place in the epoch.
    Augmentation,
    /// The resamples behind an interval; `sample` is the resample.
    Bootstrap,
    /// Which photos are shown as a sample.
    Sample,
    /// Where an attack on a photo begins, and what it tries; `sample` is the photo.
    Attack,
    /// What the dropout layer of this place in the architecture drops; `sample` is the photo's place in the epoch.
    Dropout(u8),
}

impl Stream {
    fn number(self) -> u64 {
        match self {
            Self::Initialization => 1,
            Self::Shuffle => 2,
            Self::Split => 3,
            Self::Augmentation => 4,
            Self::Bootstrap => 5,
            Self::Sample => 6,
            Self::Attack => 7,
            Self::Dropout(layer) => 0x100 | u64::from(layer),
        }
    }
}

/// The generator for one purpose.
pub fn rng(seed: u64, stream: Stream, epoch: u64, sample: u64) -> ChaCha8Rng {
    husky_ops::keyed(key(seed, stream, epoch, sample))
}

/// The key of the same generator.
pub fn key(seed: u64, stream: Stream, epoch: u64, sample: u64) -> [u64; 4] {
    [seed, stream.number(), epoch, sample]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::Rng;

    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        let mut first = rng(42, Stream::Augmentation, 3, 7);
        // Computed by a ChaCha8 of 20 lines of Python: key = the four numbers, little-endian; counter and nonce 0.
        assert_eq!([first.next_u32(), first.next_u32()], [0x5840_7218, 0x4b22_a603]);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut streams = vec![Stream::Initialization, Stream::Shuffle, Stream::Split];
        streams.extend([
            Stream::Augmentation,
            Stream::Bootstrap,
            Stream::Sample,
            Stream::Attack,
            Stream::Dropout(0),
            Stream::Dropout(255),
        ]);
        let mut seen = HashSet::new();
        for seed in [0, 1, u64::MAX] {
            for &stream in &streams {
                for epoch in [0, 1, 1 << 40] {
                    for sample in [0, 1, 1 << 40] {
                        assert!(seen.insert(rng(seed, stream, epoch, sample).next_u64()));
                    }
                }
            }
        }
    }
}
