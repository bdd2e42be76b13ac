use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// The generator of random numbers that `key` names; what ran before it changes nothing.
pub fn keyed(key: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, number) in seed.as_chunks_mut().0.iter_mut().zip(key) {
        *bytes = number.to_le_bytes();
    }
    ChaCha8Rng::from_seed(seed)
}
