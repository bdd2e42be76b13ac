//! The engine's BLAKE3 is BLAKE3.

use husky::engine::blake3;

/// Each length at which something begins: blocks, chunks, levels of the tree, vectors of 4, 8 and 16 chunks.
#[test]
fn it_is_that_of_its_authors_at_any_length() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let chunks = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 190];
    let around = |length: usize| [0, 1, 63, 64, 65, 1000].map(|more| length + more);
    for length in chunks.into_iter().flat_map(|chunks| around(1024 * chunks)).filter(|&l| l <= bytes.len()) {
        let expected = *::blake3::hash(&bytes[..length]).as_bytes();
        assert_eq!(blake3(&[&bytes[..length]]), expected, "{length}");
        for cut in [0, 1, length / 3, length.saturating_sub(1), length] {
            let (a, b) = bytes[..length].split_at(cut.min(length));
            assert_eq!(blake3(&[a, &[], b]), expected, "{length} cut at {cut}");
        }
    }
}
