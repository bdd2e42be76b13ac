//! Trains and judges Husky AI's models: a folder of photos goes in, a model file comes out.

pub mod augment;
pub mod dataset;
pub mod loader;
pub mod photos;
pub mod pixel_store;
pub mod presets;
pub mod progress;
pub mod random;
