//! The models that ship, known by their digests: a page refuses another file under one of their names.

/// File name and [`digest`](crate::weights::digest) of each file in `models`.
pub const SHIPPED: &[(&str, &str)] = &[
    ("classic.safetensors", "736de7df8ea5a58f08046fff3bbac09d98d5b58a07f7b294b31fbe912e30e7cd"),
    ("compact.safetensors", "45124b1657f32d69d85eeaeee82f64ddeac0a59112733f62d58626b589f69e0e"),
    ("husky.safetensors", "4302cd82573c5fe610e292684d4e3e70712216580e3c729d00047830dffdbea9"),
    ("tiny.safetensors", "86e963a736fbd5104524776d55b2091f32a6905ec53e994b13391051b5b8ea6b"),
];

/// Whether a model of this digest may come from this address: it is not that of one of ours, or the digest is its own.
pub fn may_be(url: &str, digest: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_of = |name| path.strip_suffix(name).is_some_and(|folder| folder.ends_with("models/"));
    SHIPPED.iter().all(|&(name, own)| own == digest || !is_of(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_may_not_come_from_the_address_of_one_that_ships() {
        let (name, digest) = SHIPPED[0];
        for suffix in ["", "?v=2", "#top", "?a#b"] {
            let url = format!("https://example.org/models/{name}{suffix}");
            assert!(may_be(&url, digest), "{url}");
            assert!(!may_be(&url, "0"), "{url}");
        }
        assert!(may_be(&format!("https://example.org/mine/{name}"), "0"));
        assert!(may_be("https://example.org/models/mine.safetensors", "0"));
        assert!(may_be(&format!("https://example.org/mine?models/{name}"), "0"));
    }
}
