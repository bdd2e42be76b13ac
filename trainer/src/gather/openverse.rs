//! Openverse, a search over openly licensed photos of Flickr, Commons, museums and others.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Client, Found, License, MAX_ANSWER, Provider};

/// Of <https://api.openverse.org/v1/#tag/images>.
pub const API: &str = "https://api.openverse.org/v1/images/";

/// As many as are given without a key.
const PAGE_SIZE: &str = "20";

/// A search, and how far it has come.
pub struct Openverse {
    api: String,
    query: String,
    licenses: Vec<License>,
    page: usize,
    page_count: usize,
}

#[derive(Deserialize)]
struct Answer {
    page_count: usize,
    results: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    url: Option<String>,
    title: Option<String>,
    creator: Option<String>,
    license: String,
    license_version: Option<String>,
    license_url: Option<String>,
    foreign_landing_url: Option<String>,
}

impl Openverse {
    /// Asks nothing yet.
    pub fn new(api: String, query: String, licenses: Vec<License>) -> Self {
        Self { api, query, licenses, page: 0, page_count: 1 }
    }
}

impl Provider for Openverse {
    fn next_page(&mut self, client: &mut Client) -> Result<Option<Vec<Found>>> {
        if self.page == self.page_count {
            return Ok(None);
        }
        self.page += 1;
        let licenses = self.licenses.iter().map(|license| license.code()).collect::<Vec<_>>().join(",");
        let page = self.page.to_string();
        let query = [("q", &*self.query), ("license", &licenses), ("page", &page), ("page_size", PAGE_SIZE)];
        let answer = client.get(&self.api, &query, "application/json", MAX_ANSWER)?;
        let Answer { page_count, results } =
            serde_json::from_slice(&answer).context("Openverse's answer is not as documented")?;
        self.page_count = page_count.max(self.page);
        let found = results
            .into_iter()
            .filter(|image| License::parse(&image.license).is_some_and(|l| self.licenses.contains(&l)));
        Ok(Some(found.filter_map(Image::found).collect()))
    }
}

impl Image {
    fn found(self) -> Option<Found> {
        let version = self.license_version.map_or_else(String::new, |version| format!(" {version}"));
        Some(Found {
            url: self.url?,
            title: self.title.unwrap_or_default(),
            author: self.creator.unwrap_or_default(),
            license: format!("{}{version}", self.license),
            license_url: self.license_url.unwrap_or_default(),
            source: self.foreign_landing_url.unwrap_or_default(),
        })
    }
}
