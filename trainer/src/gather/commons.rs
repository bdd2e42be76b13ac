//! Wikimedia Commons, or another MediaWiki with the extension CommonsMetadata.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::{Client, Found, License, MAX_ANSWER, Provider};

/// Of <https://www.mediawiki.org/wiki/API:Imageinfo>.
pub const API: &str = "https://commons.wikimedia.org/w/api.php";

/// What the decoder reads: no drawings, scans or books.
const MEDIA_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/webp", "image/gif"];

/// A search, and how far it has come.
pub struct Commons {
    api: String,
    query: String,
    licenses: Vec<License>,
    /// What the last answer wants to be asked with next; `None` at the end.
    next: Option<Map<String, Value>>,
}

impl Commons {
    /// Asks nothing yet.
    pub fn new(api: String, query: String, licenses: Vec<License>) -> Self {
        Self { api, query: format!("{query} filetype:bitmap"), licenses, next: Some(Map::new()) }
    }
}

impl Provider for Commons {
    fn next_page(&mut self, client: &mut Client) -> Result<Option<Vec<Found>>> {
        let Some(next) = self.next.take() else { return Ok(None) };
        let next: Vec<(String, String)> = next.into_iter().map(|(key, value)| (key, text(&value))).collect();
        let mut query = vec![
            ("action", "query"),
            ("format", "json"),
            ("formatversion", "2"),
            ("generator", "search"),
            ("gsrsearch", &*self.query),
            // Namespace 6 is that of files.
            ("gsrnamespace", "6"),
            ("gsrlimit", "50"),
            ("prop", "imageinfo"),
            ("iiprop", "url|size|mime|extmetadata"),
            ("iiextmetadatafilter", "Artist|License|LicenseShortName|LicenseUrl"),
            // A copy of this width, where the original is wider: one of those that Wikimedia keeps ready.
            ("iiurlwidth", "1280"),
        ];
        query.extend(next.iter().map(|(key, value)| (&**key, &**value)));
        let answer = client.get(&self.api, &query, "application/json", MAX_ANSWER)?;
        let mut answer: Value = serde_json::from_slice(&answer).context("the answer is no JSON")?;
        if let Some(error) = answer.get("error") {
            bail!("the API refuses: {}", text(&error["info"]));
        }
        self.next = answer.get("continue").and_then(Value::as_object).cloned();
        let Value::Array(mut pages) = answer["query"]["pages"].take() else { return Ok(Some(Vec::new())) };
        // They come in the order of their numbers.
        pages.sort_by_key(|page| page["index"].as_u64());
        Ok(Some(pages.iter().filter_map(|page| self.found(page)).collect()))
    }
}

impl Commons {
    fn found(&self, page: &Value) -> Option<Found> {
        let file = &page["imageinfo"][0];
        let about = |field: &str| text(&file["extmetadata"][field]["value"]);
        let license = License::parse(&about("License"))?;
        if !self.licenses.contains(&license) || !MEDIA_TYPES.contains(&file["mime"].as_str()?) {
            return None;
        }
        Some(Found {
            url: file["thumburl"].as_str().or(file["url"].as_str())?.to_owned(),
            title: text(&page["title"]),
            author: without_tags(&about("Artist")),
            license: about("LicenseShortName"),
            license_url: about("LicenseUrl"),
            source: text(&file["descriptionurl"]),
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An author is HTML, mostly a link.
fn without_tags(html: &str) -> String {
    let texts = html.split('<').enumerate().map(|(index, part)| match (index, part.split_once('>')) {
        (0, _) => part,
        (_, tag) => tag.map_or("", |(_, text)| text),
    });
    html_escape::decode_html_entities(&texts.collect::<String>()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_read_from_html() {
        assert_eq!(without_tags(r#"<a href="//x/User:A" title="A">Anna &amp; <b>Bo</b></a> "#), "Anna & Bo");
        assert_eq!(without_tags("Anna"), "Anna");
        assert_eq!(without_tags("<span"), "");
    }
}
