//! How many bytes a visitor downloads, and how many they may be.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    io::Write,
    iter::Sum,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};

use crate::dist::files_in;

/// What a visitor downloads for a purpose: no more than `bytes`, as a host with brotli sends it.
struct Budget {
    purpose: &'static str,
    files: &'static [&'static str],
    bytes: usize,
}

/// What is reached, with little to spare. Of the two builds of `husky`, a browser loads one; they are of one size.
const BUDGETS: [Budget; 4] = [
    Budget {
        purpose: "the camera",
        files: &["husky-classifier.js", "husky-module.js", "husky.js", "husky_relaxed_bg.wasm", "worker.js"],
        bytes: 105_000,
    },
    Budget { purpose: "JPEG files", files: &["husky_decoder.js", "husky_jpeg_bg.wasm"], bytes: 99_000 },
    Budget { purpose: "PNG files", files: &["husky_decoder.js", "husky_png_bg.wasm"], bytes: 86_000 },
    Budget { purpose: "other photo files", files: &["husky_decoder.js", "husky_decoder_bg.wasm"], bytes: 280_000 },
];

/// Bytes of a file, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// As it is.
    pub raw: usize,
    /// Under gzip 9.
    pub gzip: usize,
    /// Under brotli 11.
    pub brotli: usize,
}

impl Sizes {
    /// Those of a file's bytes.
    pub fn of(mut bytes: &[u8]) -> Self {
        // Reading and writing memory does not fail.
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = gzip.write_all(bytes).and_then(|()| gzip.finish()).map_or(0, |compressed| compressed.len());
        let raw = bytes.len();
        let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
        let brotli = brotli::BrotliCompress(&mut bytes, &mut Vec::new(), &parameters).unwrap_or_default();
        Self { raw, gzip, brotli }
    }
}

impl Sum for Sizes {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |a, b| Self {
            raw: a.raw + b.raw,
            gzip: a.gzip + b.gzip,
            brotli: a.brotli + b.brotli,
        })
    }
}

/// The files of a site with their sizes. It is shown with a line for each, and one for the whole.
pub struct Listing(BTreeMap<String, Sizes>);

impl Listing {
    /// Of the site in `folder`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let files = files_in(folder)?;
        let sizes = std::thread::scope(|scope| {
            let threads: Vec<_> = files.values().map(|bytes| scope.spawn(|| Sizes::of(bytes))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        Ok(Self(files.into_keys().zip(sizes).collect()))
    }

    /// Compares the site with its budgets.
    ///
    /// # Errors
    /// It exceeds one, or lacks a file that one names.
    pub fn check(&self) -> Result<()> {
        BUDGETS.iter().try_for_each(|budget| self.check_budget(budget))
    }

    fn check_budget(&self, Budget { purpose, files, bytes }: &Budget) -> Result<()> {
        let mut sum = 0;
        for file in *files {
            sum += self
                .0
                .get(*file)
                .with_context(|| format!("the site has no {file}: bring the budgets up to date"))?
                .brotli;
        }
        ensure!(
            sum <= *bytes,
            "what a visitor downloads for {purpose} is {sum} bytes under brotli, and its budget {bytes} ({}): make it \
             smaller, or give it more in xtask/src/sizes.rs",
            files.join(", ")
        );
        Ok(())
    }
}

impl Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10} {:>10} {:>10}  file", "bytes", "gzip", "brotli")?;
        let mut line =
            |Sizes { raw, gzip, brotli }: Sizes, path: &str| writeln!(f, "{raw:>10} {gzip:>10} {brotli:>10}  {path}");
        self.0.iter().try_for_each(|(path, &sizes)| line(sizes, path))?;
        line(self.0.values().copied().sum(), "total")?;
        for Budget { purpose, files, bytes } in &BUDGETS {
            let sum: Sizes = files.iter().filter_map(|file| self.0.get(*file)).copied().sum();
            line(sum, &format!("for {purpose}, of {bytes} under brotli"))?;
        }
        Ok(())
    }
}

/// Lists the site in `folder` and holds it to its budgets.
///
/// # Errors
/// A file cannot be read, or a budget is exceeded.
pub fn report(folder: &Path) -> Result<()> {
    let listing = Listing::of(folder)?;
    print!("{listing}");
    listing.check()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn listing(files: &[(&str, usize)]) -> Listing {
        let sizes = |brotli| Sizes { raw: 10 * brotli, gzip: 2 * brotli, brotli };
        Listing(files.iter().map(|&(path, brotli)| (path.to_owned(), sizes(brotli))).collect())
    }

    #[test]
    fn the_listing_has_every_file_with_its_sizes_and_the_sums() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("a.txt"), "a".repeat(10_000)).unwrap();
        fs::write(folder.path().join("sub/b.txt"), "b").unwrap();
        let listing = Listing::of(folder.path()).unwrap();
        let sizes = listing.0["a.txt"];
        assert_eq!(sizes.raw, 10_000);
        assert!((1..100).contains(&sizes.brotli) && (1..100).contains(&sizes.gzip), "{sizes:?}");
        let text = listing.to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines[1][0], lines[1][3]), ("10000", "a.txt"));
        assert_eq!((lines[2][0], lines[2][3]), ("1", "sub/b.txt"));
        assert_eq!((lines[3][0], lines[3][3]), ("10001", "total"));
    }

    #[test]
    fn a_site_over_its_budget_or_without_a_file_of_it_is_refused() {
        let budget = Budget { purpose: "the test", files: &["a.js", "a.wasm"], bytes: 100 };
        let check = |files: &[(&str, usize)]| listing(files).check_budget(&budget).map_err(|error| error.to_string());
        assert_eq!(check(&[("a.js", 30), ("a.wasm", 70), ("other", 1000)]), Ok(()));
        let error = check(&[("a.js", 31), ("a.wasm", 70)]).unwrap_err();
        assert!(error.contains("for the test is 101 bytes under brotli, and its budget 100"), "{error}");
        assert!(check(&[("a.js", 30)]).unwrap_err().contains("the site has no a.wasm"));
        // The site's own budgets are checked.
        assert!(listing(&[]).check().is_err());
    }
}
