//! What tells the labels apart without a look at the picture: a network learns that first.

use serde::Serialize;

use crate::scan::Photo;
use crate::metrics;

/// How well a property of the files alone predicts a label.
#[derive(Clone, Debug, Serialize)]
pub struct Shortcut {
    /// Such as "file size".
    pub property: &'static str,
    /// The label.
    pub label: String,
    /// Area under the ROC curve, whichever way round: 0.5 says nothing, 1 everything.
    pub roc_auc: f64,
}

/// From here on a property is named as a danger.
pub const SUSPICIOUS: f64 = 0.75;

/// Each property's power over each label; of two labels, over one. Strongest first.
pub fn shortcuts(photos: &[Photo], labels: &[String]) -> Vec<Shortcut> {
    let mean = |photo: &Photo, channel: usize| {
        let values = photo.thumbnail.iter().skip(channel).step_by(3);
        values.map(|&value| f32::from(value)).sum::<f32>()
    };
    type Property<'a> = (&'static str, &'a dyn Fn(&Photo) -> f32);
    let properties: [Property; 7] = [
        ("file size", &|photo| photo.bytes as f32),
        ("pixels", &|photo| photo.width as f32 * photo.height as f32),
        ("aspect ratio", &|photo| photo.width as f32 / photo.height as f32),
        ("bytes a pixel", &|photo| photo.bytes as f32 / (photo.width as f32 * photo.height as f32)),
        ("mean red", &|photo| mean(photo, 0)),
        ("mean green", &|photo| mean(photo, 1)),
        ("mean blue", &|photo| mean(photo, 2)),
    ];
    let mut found = Vec::new();
    let asked = if labels.len() == 2 { 1 } else { labels.len() };
    for (property, value) in properties {
        for (label, name) in labels.iter().enumerate().take(asked) {
            // Only the order counts.
            let values: Vec<[f32; 2]> = photos.iter().map(|photo| [value(photo), 0.0]).collect();
            let truth: Vec<usize> = photos.iter().map(|photo| usize::from(photo.label != label)).collect();
            if let Some(auc) = metrics::roc_auc(&values, &truth) {
                found.push(Shortcut { property, label: name.clone(), roc_auc: auc.max(1.0 - auc) });
            }
        }
    }
    found.sort_by(|a, b| b.roc_auc.total_cmp(&a.roc_auc));
    found
}
