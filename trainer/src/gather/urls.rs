//! A list of addresses, one a line.

use std::path::Path;

use anyhow::Result;

use super::{Client, Found, Provider};
use crate::files::read_text;

/// The addresses, until they are asked for.
pub struct Urls(Option<Vec<Found>>);

impl Urls {
    /// Reads the list. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub fn read(path: &Path) -> Result<Self> {
        let list = read_text(path)?;
        let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self(Some(lines.map(|url| Found { url: url.to_owned(), ..Found::default() }).collect())))
    }
}

impl Provider for Urls {
    fn next_page(&mut self, _: &mut Client) -> Result<Option<Vec<Found>>> {
        Ok(self.0.take())
    }

    fn length(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }
}
