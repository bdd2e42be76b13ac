//! A static host on the loopback interface: `cargo xtask serve` and the end-to-end tests use it.
//!
//! It sends files with their media types and nothing else that a plain static host would not send, so what works here
//! (content security policy, offline cache, sub-path) works there.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # let dist = std::path::Path::new("dist");
//! let server = xtask::server::Server::start(dist, "/blog/", std::net::TcpListener::bind("127.0.0.1:0")?)?;
//! // … open server.url() in a browser …
//! assert_eq!(server.requests()[0], "GET /blog/");
//! server.stop(); // closes every connection; the port can be bound again
//! # Ok(()) }
//! ```

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::CACHE_CONTROL},
    middleware::{self, Next},
    response::Response,
};
use tokio::sync::oneshot;
use tower_http::services::ServeDir;

/// A running server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    prefix: String,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Serves `folder` under `prefix` (`/` or a path such as `/sub/path/`) from a thread of its own.
    ///
    /// # Errors
    /// The prefix does not start and end with a slash, or the listener cannot be used.
    pub fn start(folder: &Path, prefix: &str, listener: TcpListener) -> Result<Self> {
        check_prefix(prefix)?;
        let requests = Arc::default();
        let router = router(folder, prefix, Arc::clone(&requests));
        Self::spawn(router, prefix, requests, listener)
    }

    /// Serves `folder` isolated from other origins: with the headers that let its pages use threads.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start_isolated(folder: &Path, listener: TcpListener) -> Result<Self> {
        let requests = Arc::default();
        let isolate = middleware::map_response(async |mut response: Response| {
            let headers = response.headers_mut();
            headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
            headers.insert("cross-origin-embedder-policy", HeaderValue::from_static("require-corp"));
            response
        });
        let router = router(folder, "/", Arc::clone(&requests)).layer(isolate);
        Self::spawn(router, "/", requests, listener)
    }

    fn spawn(router: Router, prefix: &str, requests: Arc<Mutex<Vec<String>>>, listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                result = async { axum::serve(listener, router).await } => result,
                _ = stopped => Ok(()),
            }
        };
        // The thread owns the runtime: when it ends, every connection is closed, not only the listener.
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { address, prefix: prefix.into(), requests, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the served folder's `index.html` is.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.prefix)
    }

    /// Every request so far, as `METHOD /path`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the port and every connection.
    pub fn stop(self) {}

    /// Serves until the process is ended.
    ///
    /// # Errors
    /// The listener fails.
    pub fn wait(mut self) -> Result<()> {
        let thread = self.thread.take().context("the server runs")?;
        thread.join().ok().context("the server's thread crashed")?.context("the server stopped")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Refuses a prefix that is no path of folders.
///
/// # Errors
/// It does not start and end with a slash, or has characters that mean something in an address or a route.
pub fn check_prefix(prefix: &str) -> Result<()> {
    let path = prefix.starts_with('/') && prefix.ends_with('/') && !prefix.contains(['{', '}', '*', '?', '#']);
    ensure!(path, "the prefix {prefix:?} is not a path such as /sub/path/");
    Ok(())
}

fn router(folder: &Path, prefix: &str, requests: Arc<Mutex<Vec<String>>>) -> Router {
    let files = ServeDir::new(folder);
    let router = match prefix {
        "/" => Router::new().fallback_service(files),
        _ => Router::new().nest_service(prefix, files.redirect_path_prefix(prefix.trim_end_matches('/'))),
    };
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let line = format!("{} {}", request.method(), request.uri().path());
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        async move {
            let mut response = next.run(request).await;
            // A rebuilt page must not be mixed with files that the browser kept from the last build.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        io::{Read, Write},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    fn site() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        for (name, content) in
            [("index.html", "<p>"), ("a.js", "1"), ("a_bg.wasm", "2"), ("models/m.safetensors", "3"), ("a.css", "4")]
        {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn start(folder: &Path, prefix: &str) -> Server {
        Server::start(folder, prefix, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
    }

    fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_lowercase()
    }

    #[test]
    fn files_have_the_media_types_that_browsers_insist_on() {
        let folder = site();
        let server = start(folder.path(), "/");
        for (path, media_type) in [
            ("/", "text/html"),
            ("/a.js", "text/javascript"),
            ("/a_bg.wasm", "application/wasm"),
            ("/a.css", "text/css"),
            ("/models/m.safetensors", "application/octet-stream"),
        ] {
            let answer = get(&server, path);
            assert!(answer.starts_with("http/1.1 200"), "{path}: {answer}");
            assert!(answer.contains(&format!("content-type: {media_type}")), "{path}: {answer}");
        }
        assert!(get(&server, "/missing").starts_with("http/1.1 404"));
        assert!(get(&server, "/../Cargo.toml").starts_with("http/1.1 404"));
        assert_eq!(server.requests()[..2], ["GET /", "GET /a.js"]);
    }

    #[test]
    fn under_a_prefix_nothing_is_served_above_it() {
        let folder = site();
        let server = start(folder.path(), "/sub/path/");
        assert!(server.url().ends_with("/sub/path/"));
        assert!(get(&server, "/sub/path/").contains("<p>"));
        assert!(get(&server, "/sub/path/a.js").starts_with("http/1.1 200"));
        assert!(get(&server, "/a.js").starts_with("http/1.1 404"));
        assert!(get(&server, "/sub/path/models").contains("location: /sub/path/models/\r\n"));
        assert_eq!(server.requests()[1], "GET /sub/path/a.js");
    }

    #[test]
    fn a_stopped_server_closes_open_connections_and_frees_its_port() {
        let folder = site();
        // An address of its own: a freed port of 127.0.0.1 may at once be another test's.
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let server = Server::start(folder.path(), "/", listener).unwrap();
        let address = server.address;
        let mut stream = TcpStream::connect(address).unwrap();
        server.stop();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        drop(stream);
        // A process that another test is starting holds a copy of every socket between its fork and its exec.
        let freed = (0..100).find_map(|_| {
            TcpListener::bind(address).inspect_err(|_| std::thread::sleep(Duration::from_millis(50))).ok()
        });
        Server::start(folder.path(), "/", freed.unwrap()).unwrap();
    }

    #[test]
    fn a_prefix_without_its_slashes_is_refused() {
        let folder = site();
        for prefix in ["", "sub", "/sub", "sub/", "/{x}/"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            assert!(Server::start(folder.path(), prefix, listener).is_err(), "{prefix}");
        }
    }
}
