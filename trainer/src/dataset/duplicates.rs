//! The same photo twice, where that would make a figure a lie.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::read::Decoded;

/// Refuses a photo that is in both parts (it would be judged by what it learnt by heart) or under two labels (one of
/// them is wrong). Photos are the same if their files' bytes are, or the pixels that the network would see.
pub(super) fn check(parts: &[Vec<Decoded>; 2], labels: &[String]) -> Result<()> {
    let mut first_with_bytes = HashMap::new();
    let mut first_with_pixels = HashMap::new();
    let mut conflicts = Vec::new();
    for photo in parts.iter().flatten() {
        // The first of equal photos stands for all: whatever differs from another differs from it, too.
        let by_bytes = *first_with_bytes.entry(&photo.sha256).or_insert(photo);
        let by_pixels = *first_with_pixels.entry(&photo.pixels_sha256).or_insert(photo);
        if let Some(other) = [by_bytes, by_pixels].into_iter().find(|other| clash(photo, other)) {
            conflicts.push((other, photo));
        }
    }
    let Some(&(first, second)) = conflicts.first() else { return Ok(()) };
    let what = if first.label == second.label {
        "are the same photo, once for training and once for validation".to_owned()
    } else {
        format!("are the same photo, once as {:?} and once as {:?}", labels[first.label], labels[second.label])
    };
    let more = match conflicts.len() - 1 {
        0 => String::new(),
        more => format!(" ({more} more such pairs)"),
    };
    bail!("{} and {} {what}: delete one of them{more}", first.path, second.path)
}

fn clash(a: &Decoded, b: &Decoded) -> bool {
    a.label != b.label || a.in_validation != b.in_validation
}
