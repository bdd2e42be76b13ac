//! What tells the labels apart without a look at the picture: a network learns that first.

use serde::Serialize;

use crate::metrics;
use crate::scan::Photo;

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
    type Property<'a> = (&'static str, &'a dyn Fn(&Photo) -> f32);
    let properties: [Property; 7] = [
        ("file size", &|photo| photo.bytes as f32),
        ("pixels", &|photo| photo.width as f32 * photo.height as f32),
        ("aspect ratio", &|photo| photo.width as f32 / photo.height as f32),
        ("bytes a pixel", &|photo| photo.bytes as f32 / (photo.width as f32 * photo.height as f32)),
        ("mean red", &|photo| photo.mean_color()[0] as f32),
        ("mean green", &|photo| photo.mean_color()[1] as f32),
        ("mean blue", &|photo| photo.mean_color()[2] as f32),
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
