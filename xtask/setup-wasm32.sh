#!/usr/bin/env bash
# Makes plain `cargo build --target wasm32-unknown-unknown` work with Debian 12's
# rustc-web/cargo-web, without -Zbuild-std in the caller's command. Idempotent.
# `cargo xtask` runs it, as root, where neither the installed toolchain nor rustup has the target.
# After it:  PATH=/usr/bin:$PATH cargo build --target wasm32-unknown-unknown
set -euo pipefail
T=wasm32-unknown-unknown
t0=$SECONDS
step() { echo "[$((SECONDS-t0)) s] $*"; }

need=()
for p in rustc-web cargo-web rust-web-src lld-22; do
  dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || need+=("$p")
done
if ((${#need[@]})); then
  step "apt: ${need[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
fi

RUSTC=/usr/bin/rustc; CARGO=/usr/bin/cargo
SYSROOT=$($RUSTC --print sysroot)
# Debian's rustc has no rust-lld of its own: this is where it looks for the one it links with
TOOLS=$SYSROOT/lib/rustlib/$($RUSTC --print host-tuple)/bin
mkdir -p "$TOOLS"; ln -sfn "$(command -v lld-22)" "$TOOLS/rust-lld"
DEST=$SYSROOT/lib/rustlib/$T
STAMP=$DEST/.built-by
# the key holds everything that changes the rlibs: compiler, source package, this file
KEY="$($RUSTC -vV | sha256sum | cut -c1-16)-$(dpkg-query -W -f='${Version}' rust-web-src)-$(sha256sum "$0" | cut -c1-16)"
if [[ -f $STAMP && $(cat "$STAMP") == "$KEY" ]]; then step "std for $T is up to date"; else
  W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
  mkdir -p "$W/src"
  cat >"$W/Cargo.toml" <<'EOF'
[package]
name = "mkstd"
version = "0.0.0"
edition = "2021"
[lib]
path = "src/lib.rs"
[profile.release]
panic = "abort"
codegen-units = 1
debug = false
# one object per intrinsic, as in the standard library's own workspace
[profile.release.package.compiler_builtins]
codegen-units = 10000
EOF
  echo '' >"$W/src/lib.rs"
  step "build core, alloc, std, panic_abort, panic_unwind, proc_macro, test"
  # embed-bitcode=yes: without it a downstream lto = "fat" cannot inline std.
  # force-frame-pointers etc. are left out: no meaning on wasm.
  ( cd "$W" && env -u CARGO_ENCODED_RUSTFLAGS PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1 \
      RUSTFLAGS="-Cembed-bitcode=yes -Cpanic=abort" CARGO_TARGET_DIR="$W/t" \
      $CARGO build --release --target $T -q \
      -Zbuild-std=core,alloc,std,panic_abort,proc_macro,test )
  N=$W/new/lib; mkdir -p "$N"
  for f in "$W"/t/$T/release/deps/lib*.r{lib,meta}; do
    case $(basename "$f") in libmkstd*) ;; *) cp "$f" "$N/";; esac
  done
  # rustc (and cargo's `rustc --print`) find a target when this folder is there
  rm -rf "$DEST.new"; mkdir -p "$DEST.new"; cp -r "$N" "$DEST.new/"
  echo "$KEY" >"$DEST.new/.built-by"
  rm -rf "$DEST"; mv "$DEST.new" "$DEST"
  step "installed $(ls "$DEST/lib" | wc -l) files, $(du -sh "$DEST" | cut -f1), in $DEST"
fi

step done
