//! BLAKE3 (O'Connor, Aumasson, Neves and Wilcox-O'Hearn 2020), the checksum of a model file: as many chunks at a time as a
//! vector has values. The crate `blake3`, which `tests/checksum.rs` holds it to, is as fast and seven times as much code
//! for the page to download.

use fearless_simd::{Level, dispatch, prelude::*};

use crate::piece;

const BLOCK: usize = 64;
const CHUNK: usize = 1024;
/// The most values of a vector.
const LANES: usize = 16;

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;

const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Which word comes next at each place.
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];

/// Bytes of a node of the tree.
const NODE: usize = 32;

/// The hash of `parts`, one after the other.
// In a caller that is built for size the kernel would not stay in one piece.
#[inline(never)]
pub fn blake3(parts: &[&[u8]]) -> [u8; NODE] {
    dispatch!(Level::new(), simd => {
        let is_one = parts.iter().map(|part| part.len()).sum::<usize>() <= CHUNK;
        let mut nodes = level(simd, parts, CHUNK, is_one);
        while nodes.len() > 1 {
            // One that is left over goes up as it is.
            let (pairs, left) = nodes.as_chunks::<2>();
            let mut above = level(simd, &[pairs.as_flattened().as_flattened()], BLOCK, nodes.len() == 2);
            above.extend_from_slice(left);
            nodes = above;
        }
        nodes[0]
    })
}

/// A level of the tree, or its root: a node for each `size` bytes of `parts`, which are chunks or pairs of nodes.
fn level<S: Simd>(simd: S, parts: &[&[u8]], size: usize, is_root: bool) -> Vec<[u8; NODE]> {
    let lanes = S::u32s::LEN;
    let count = parts.iter().map(|part| part.len()).sum::<usize>().div_ceil(size).max(1);
    let mut parts = parts.iter().copied();
    let mut rest = &[][..];
    let mut bytes = vec![0; lanes * size];
    let mut nodes = Vec::with_capacity(count + 1);
    for first in (0..count).step_by(lanes) {
        let mut length = 0;
        while length < bytes.len() {
            if rest.is_empty() {
                let Some(next) = parts.next() else { break };
                rest = next;
            }
            let taken = rest.len().min(bytes.len() - length);
            bytes[length..length + taken].copy_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            length += taken;
        }
        bytes[length..].fill(0);
        let root = if is_root { ROOT } else { 0 };
        let group = piece(
            simd,
            #[inline(always)]
            || group(simd, &bytes, size, length, first, root),
        );
        nodes.extend_from_slice(&group[..lanes.min(count - first)]);
    }
    nodes
}

/// As many nodes as a vector has values, the first of which is the chunk with the number `first`. `length` of the bytes
/// mean something.
#[inline(always)]
fn group<S: Simd>(simd: S, bytes: &[u8], size: usize, length: usize, first: usize, root: u32) -> [[u8; NODE]; LANES] {
    let mut state = start(simd);
    let mut input = Input { words: [[0; LANES]; 16], counters: [0; LANES], lengths: [0; LANES], flags: [0; LANES] };
    for block in 0..size / BLOCK {
        let before = state;
        let mut goes_on = [0; LANES];
        for lane in 0..S::u32s::LEN {
            let start = lane * size + block * BLOCK;
            let words = bytes[start..start + BLOCK].as_chunks().0;
            for (lanes, &word) in input.words.iter_mut().zip(words) {
                lanes[lane] = u32::from_le_bytes(word);
            }
            // A chunk has a block, if an empty one.
            goes_on[lane] = u32::from(block == 0 || start < length);
            input.lengths[lane] = length.saturating_sub(start).min(BLOCK) as u32;
            input.flags[lane] = if size == BLOCK { PARENT | root } else { 0 };
            if size == CHUNK {
                input.counters[lane] = (first + lane) as u32;
                let is_last = block == CHUNK / BLOCK - 1 || start + BLOCK >= length;
                let begins = if block == 0 { CHUNK_START } else { 0 };
                input.flags[lane] = begins | if is_last { CHUNK_END | root } else { 0 };
            }
        }
        compress(simd, &mut state, &input);
        let goes_on = load(simd, &goes_on).simd_gt(S::u32s::simd_from(simd, 0));
        for (value, before) in state.iter_mut().zip(before) {
            *value = goes_on.select(*value, before);
        }
    }
    let mut nodes = [[0; NODE]; LANES];
    for (i, values) in state.iter().enumerate() {
        let mut lanes = [0; LANES];
        values.store_slice(&mut lanes[..S::u32s::LEN]);
        for (node, lane) in nodes.iter_mut().zip(lanes) {
            node.as_chunks_mut().0[i] = u32::to_le_bytes(lane);
        }
    }
    nodes
}

/// What a vector of compressions reads, value by value.
struct Input {
    words: [[u32; LANES]; 16],
    /// Chunks are far fewer than 2^32.
    counters: [u32; LANES],
    lengths: [u32; LANES],
    flags: [u32; LANES],
}

#[inline(always)]
fn start<S: Simd>(simd: S) -> [S::u32s; 8] {
    let mut state = [S::u32s::simd_from(simd, 0); 8];
    for (value, iv) in state.iter_mut().zip(IV) {
        *value = S::u32s::simd_from(simd, iv);
    }
    state
}

#[inline(always)]
fn load<S: Simd>(simd: S, lanes: &[u32; LANES]) -> S::u32s {
    S::u32s::from_slice(simd, &lanes[..S::u32s::LEN])
}

#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [S::u32s; 8], input: &Input) {
    let mut words = [state[0]; 16];
    for (word, lanes) in words.iter_mut().zip(&input.words) {
        *word = load(simd, lanes);
    }
    let mut v = [state[0]; 16];
    v[..8].copy_from_slice(state);
    v[8..].copy_from_slice(&start(simd));
    v[12] = load(simd, &input.counters);
    v[13] = S::u32s::simd_from(simd, 0);
    v[14] = load(simd, &input.lengths);
    v[15] = load(simd, &input.flags);
    for _ in 0..7 {
        mix(&mut v, [0, 4, 8, 12], words[0], words[1]);
        mix(&mut v, [1, 5, 9, 13], words[2], words[3]);
        mix(&mut v, [2, 6, 10, 14], words[4], words[5]);
        mix(&mut v, [3, 7, 11, 15], words[6], words[7]);
        mix(&mut v, [0, 5, 10, 15], words[8], words[9]);
        mix(&mut v, [1, 6, 11, 12], words[10], words[11]);
        mix(&mut v, [2, 7, 8, 13], words[12], words[13]);
        mix(&mut v, [3, 4, 9, 14], words[14], words[15]);
        let before = words;
        for (word, from) in words.iter_mut().zip(PERMUTATION) {
            *word = before[from];
        }
    }
    for (i, value) in state.iter_mut().enumerate() {
        *value = v[i] ^ v[i + 8];
    }
}

#[inline(always)]
fn mix<
    S: Simd,
    V: SimdInt<S, Element = u32> + std::ops::Add<Output = V> + std::ops::AddAssign + std::ops::BitXor<Output = V>,
>(
    v: &mut [V; 16],
    [a, b, c, d]: [usize; 4],
    x: V,
    y: V,
) {
    v[a] = v[a] + v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 7);
}

/// To the right.
#[inline(always)]
fn rotate<S: Simd, V: SimdInt<S>>(value: V, bits: u32) -> V {
    (value >> bits) | (value << (32 - bits))
}
