//! Runs a test module for wasm32 in a headless browser: `cargo xtask test` gives it to cargo as that target's runner.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())
}
