//! The models that ship, known by their digests: a page refuses another file under one of their names.

/// File name and [`digest`](crate::weights::digest) of each file in `models`.
pub const SHIPPED: &[(&str, &str)] = &[
    ("classic.safetensors", "736de7df8ea5a58f08046fff3bbac09d98d5b58a07f7b294b31fbe912e30e7cd"),
    ("compact.safetensors", "dbcf14a50eaf9ce539e9bac723304c8114d510ddfb1e59b8f67c06398cba9698"),
    ("husky.safetensors", "4302cd82573c5fe610e292684d4e3e70712216580e3c729d00047830dffdbea9"),
    ("tiny.safetensors", "86e963a736fbd5104524776d55b2091f32a6905ec53e994b13391051b5b8ea6b"),
];

/// Whether a model of this digest may come from this address: it is not that of one of ours, or the digest is its own.
pub fn may_be(url: &str, digest: &str) -> bool {
    let is_of = |name| url.strip_suffix(name).is_some_and(|folder| folder.ends_with("models/"));
    SHIPPED.iter().all(|&(name, own)| own == digest || !is_of(name))
}
