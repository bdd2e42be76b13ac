//! The project's own commands, `cargo xtask …`, and the static host that the end-to-end tests share with `serve`.

pub mod browser;
pub mod checks;
pub mod dist;
pub mod peers;
pub mod process;
pub mod serve;
pub mod server;
pub mod sizes;
pub mod toolchain;
