//! The licences that photos are offered under.

use clap::ValueEnum;

/// A Creative Commons licence or dedication, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum License {
    /// No rights reserved
    Cc0,
    /// Public domain
    Pdm,
    /// Name the author
    By,
    /// Name the author, share alike
    BySa,
    /// Name the author, no commercial use
    ByNc,
    /// Name the author, no changes
    ByNd,
    /// Name the author, no commercial use, share alike
    ByNcSa,
    /// Name the author, no commercial use, no changes
    ByNcNd,
}

impl License {
    /// Openverse's code for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cc0 => "cc0",
            Self::Pdm => "pdm",
            Self::By => "by",
            Self::BySa => "by-sa",
            Self::ByNc => "by-nc",
            Self::ByNd => "by-nd",
            Self::ByNcSa => "by-nc-sa",
            Self::ByNcNd => "by-nc-nd",
        }
    }

    /// Reads Openverse's codes (`by-sa`) and Commons' (`cc-by-sa-4.0`, `pd-usgov`). Any other licence is `None`.
    pub fn parse(code: &str) -> Option<Self> {
        let code = code.to_lowercase();
        if code == "pd" || code.starts_with("pd-") {
            return Some(Self::Pdm);
        }
        let code = code.strip_prefix("cc-").unwrap_or(&code);
        // A version is a part that begins with a digit; after it comes at most the country that it was ported to.
        let parts: Vec<&str> =
            code.split('-').take_while(|part| !part.starts_with(|c: char| c.is_ascii_digit())).collect();
        let code = parts.join("-");
        Self::value_variants().iter().copied().find(|license| license.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_apis_are_read() {
        for (code, license) in [
            ("by-sa", Some(License::BySa)),
            ("cc-by-sa-4.0", Some(License::BySa)),
            ("CC-BY-2.0-de", Some(License::By)),
            ("cc-by-nc-nd-3.0", Some(License::ByNcNd)),
            ("cc0", Some(License::Cc0)),
            ("pdm", Some(License::Pdm)),
            ("pd-usgov", Some(License::Pdm)),
            ("gfdl", None),
            ("cc-sa-1.0", None),
            ("", None),
        ] {
            assert_eq!(License::parse(code), license, "{code}");
        }
    }
}
