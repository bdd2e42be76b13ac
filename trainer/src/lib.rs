//! Trains and judges Husky AI's models: a folder of photos goes in, a model file comes out.

pub mod augment;
pub mod backbone;
pub mod calibrate;
pub mod checkpoint;
pub mod config;
pub mod curves;
pub mod dataset;
pub mod evaluate;
pub mod files;
pub mod head;
pub mod judge;
pub mod loader;
pub mod metrics;
pub mod model_file;
pub mod network;
pub mod ops;
pub mod optimizer;
pub mod output;
pub mod photos;
pub mod pixel_store;
pub mod predict;
pub mod presets;
pub mod progress;
pub mod quantize;
pub mod random;
pub mod summary;
pub mod train;

/// Training makes and drops the same large buffers at every step; the system's allocator gives them back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
