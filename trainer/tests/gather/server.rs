//! A server on this machine that answers as the APIs are documented, and as hosts fail.

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use serde_json::{Value, json};

use crate::common;

/// The requests that came, in order: method, path and query, and the user agent.
pub type Requests = Arc<Mutex<Vec<String>>>;

/// A server on all addresses of this machine, which ends with the test.
pub struct Server {
    pub port: u16,
    pub requests: Requests,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Requests::default();
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                thread::spawn(move || answer(stream.unwrap(), port, &log));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How often a path that begins so was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(path)).count()
    }
}

fn answer(mut stream: TcpStream, port: u16, log: &Requests) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let agent = headers.iter().find(|line| line.to_lowercase().starts_with("user-agent: ")).unwrap();
    let earlier = {
        let mut log = log.lock().unwrap();
        log.push(format!("{path} {agent}"));
        log.iter().filter(|request| request.starts_with(&path)).count() - 1
    };
    // Whoever asked may be gone.
    let _ = stream.write_all(&reply(&path, port, earlier));
}

/// The bytes that answer a request that came `earlier` times before.
fn reply(path: &str, port: u16, earlier: usize) -> Vec<u8> {
    let http = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let json = |value: Value| http("200 OK", "Content-Type: application/json\r\n", value.to_string().as_bytes());
    let picture = |file: &[u8]| http("200 OK", "Content-Type: image/jpeg\r\n", file);
    let redirect = |to: &str| http("302 Found", &format!("Location: {to}\r\n"), b"");
    let number = |path: &str| path.rsplit('/').next().unwrap().split('.').next().unwrap().parse().unwrap();
    match path {
        _ if path.starts_with("/v1/images/?") => json(openverse(path, port)),
        _ if path.starts_with("/w/api.php?") => json(commons(path, port)),
        _ if path.starts_with("/photo/") => picture(&photo(number(path))),
        "/smaller.jpg" => {
            let small = imageops::resize(&drawing(1), 60, 45, imageops::FilterType::Triangle);
            http("200 OK", "Content-Type: image/png\r\n", &picture_bytes(&small, ImageFormat::Png))
        }
        "/429.jpg" if earlier == 0 => http("429 Too Many Requests", "Retry-After: 1\r\n", b""),
        "/429.jpg" => picture(&photo(20)),
        "/500.jpg" if earlier < 2 => http("500 Internal Server Error", "", b""),
        "/500.jpg" => picture(&photo(21)),
        "/503.jpg" => http("503 Service Unavailable", "Retry-After: 86400\r\n", b""),
        "/404.jpg" => http("404 Not Found", "", b""),
        "/slow.jpg" => {
            thread::sleep(Duration::from_secs(3));
            picture(&photo(22))
        }
        "/truncated.jpg" => {
            let mut whole = picture(&photo(23));
            whole.truncate(whole.len() - 100);
            whole
        }
        "/html.jpg" => http("200 OK", "Content-Type: text/html\r\n", b"<!doctype html>"),
        "/html-called-picture.jpg" => picture(b"<!doctype html>"),
        "/large.jpg" => b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n".to_vec(),
        // It does not say how large it is.
        _ if path.starts_with("/endless?") => [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 5 << 20]].concat(),
        "/loop.jpg" => redirect("/loop.jpg"),
        "/moved.jpg" => redirect("/photo/24.jpg"),
        "/to-private.jpg" => redirect(&format!("http://127.0.0.2:{port}/photo/25.jpg")),
        "/to-file.jpg" => redirect("file:///etc/passwd"),
        _ => http("400 Bad Request", "", path.as_bytes()),
    }
}

pub fn drawing(number: u64) -> RgbImage {
    imageops::resize(&common::picture(number as usize % 2, 7, number), 120, 90, imageops::FilterType::Triangle)
}

fn photo(number: u64) -> Vec<u8> {
    picture_bytes(&drawing(number), ImageFormat::Jpeg)
}

fn picture_bytes(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture.clone()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// As in <https://api.openverse.org/v1/#tag/images/operation/images_search>: two pages of four.
fn openverse(path: &str, port: u16) -> Value {
    let page: u64 = if path.contains("page=2&") { 2 } else { 1 };
    assert!(path.contains("q=siberian%20husky&") && path.contains("page_size=20"), "{path}");
    let image = |number: u64| {
        json!({
            "id": format!("00000000-0000-0000-0000-{number:012}"),
            "title": format!("Husky {number}"),
            "indexed_on": "2020-05-01T00:00:00Z",
            "foreign_landing_url": format!("https://www.flickr.com/photos/anna/{number}"),
            "url": format!("http://127.0.0.1:{port}/photo/{number}.jpg"),
            "creator": if number == 1 { Value::Null } else { "Anna, \"the\" Musher".into() },
            "creator_url": "https://www.flickr.com/photos/anna",
            "license": if number == 2 { "by-nc" } else { "by-sa" },
            "license_version": "2.0",
            "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
            "provider": "flickr",
            "source": "flickr",
            "category": "photograph",
            "filesize": null,
            "filetype": "jpg",
            "tags": [{"accuracy": null, "name": "husky", "unstable__provider": "flickr"}],
            "attribution": "\"Husky\" by Anna is licensed under CC BY-SA 2.0.",
            "fields_matched": ["title"],
            "mature": false,
            "height": 90,
            "width": 120,
            "thumbnail": "https://api.openverse.org/v1/images/0/thumb/",
            "detail_url": "https://api.openverse.org/v1/images/0/",
            "related_url": "https://api.openverse.org/v1/images/0/related/",
            "unstable__sensitivity": [],
        })
    };
    let results: Vec<Value> = (4 * page - 4..4 * page).map(image).collect();
    json!({"result_count": 8, "page_count": 2, "page_size": 20, "page": page, "results": results, "warnings": []})
}

/// As in <https://www.mediawiki.org/wiki/API:Imageinfo> and Extension:CommonsMetadata: two pages.
fn commons(path: &str, port: u16) -> Value {
    assert!(path.contains("gsrsearch=siberian%20husky%20filetype") && path.contains("gsrnamespace=6"), "{path}");
    let page = |number: u64, mime: &str, metadata: Value| {
        json!({
            "pageid": 1000 + number,
            "ns": 6,
            "title": format!("File:Husky {number}.jpg"),
            // In another order than that of the numbers.
            "index": 10 - number,
            "imagerepository": "local",
            "imageinfo": [{
                "size": 5_000_000, "width": 5000, "height": 3750,
                "thumburl": format!("http://127.0.0.1:{port}/photo/{number}.jpg"),
                "thumbwidth": 1280, "thumbheight": 960,
                "url": format!("http://127.0.0.1:{port}/original/{number}.jpg"),
                "descriptionurl": format!("https://commons.wikimedia.org/wiki/File:Husky_{number}.jpg"),
                "descriptionshorturl": format!("https://commons.wikimedia.org/w/index.php?curid={number}"),
                "mime": mime,
                "extmetadata": metadata,
            }],
        })
    };
    let license = |code: &str, name: &str| {
        json!({
            "Artist": {"value": "<a href=\"//commons.wikimedia.org/wiki/User:Bo\" title=\"User:Bo\">Bo &amp; Co</a>", "source": "commons-desc-page"},
            "License": {"value": code, "source": "commons-templates", "hidden": ""},
            "LicenseShortName": {"value": name, "source": "commons-desc-page", "hidden": ""},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by/4.0", "source": "commons-desc-page", "hidden": ""},
        })
    };
    let by = license("cc-by-4.0", "CC BY 4.0");
    if path.contains("gsroffset=50") {
        return json!({"batchcomplete": true, "query": {"pages": [page(5, "image/jpeg", by)]}});
    }
    // PHP writes an empty object as a list.
    let pages = json!([
        page(0, "image/jpeg", by.clone()),
        page(1, "image/tiff", by.clone()),
        page(2, "image/jpeg", license("gfdl", "GFDL")),
        page(3, "image/jpeg", json!([])),
        page(4, "image/jpeg", by),
    ]);
    json!({"batchcomplete": true, "continue": {"gsroffset": 50, "continue": "gsroffset||"}, "query": {"pages": pages}})
}
