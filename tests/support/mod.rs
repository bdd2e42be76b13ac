//! What the end-to-end tests stand on.

pub mod browser;
pub mod model;
pub mod site;
