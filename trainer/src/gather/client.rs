//! A polite HTTP client: one request at a time, not too many, and later again where the host asks for it.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, bail};
use ipnet::IpNet;
use ureq::config::AutoHeaderValue;
use ureq::http::header::RETRY_AFTER;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error};

use super::addresses::PublicOnly;

/// How often a request is tried again after the first time.
const MOST_RETRIES: u32 = 4;

/// A host that asks for a longer pause than this is left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How the client goes about it.
pub struct Manners {
    /// Whom to write to, for hosts that want to know.
    pub contact: Option<String>,
    /// Between the starts of two requests; the first pause before another try is as long, and each further one twice that.
    pub delay: Duration,
    /// For one request with its redirects.
    pub timeout: Duration,
    /// Networks that may be connected to although they are not public.
    pub allowed: Vec<IpNet>,
}

/// See the module.
pub struct Client {
    agent: Agent,
    delay: Duration,
    /// Not before this may the next request begin.
    next: Instant,
}

/// Why a request came to nothing.
enum Failure {
    /// Once and for all.
    Final(anyhow::Error),
    /// For now; perhaps the host said for how long.
    Passing(anyhow::Error, Option<Duration>),
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// None that depends on the user.
    pub fn new(manners: Manners) -> Result<Self> {
        let Manners { contact, delay, timeout, allowed } = manners;
        let contact = contact.map_or_else(String::new, |contact| format!(" ({contact})"));
        let config = Agent::config_builder()
            .user_agent(AutoHeaderValue::from(format!("husky-gather/{}{contact}", env!("CARGO_PKG_VERSION"))))
            // A proxy would look names up itself, where their addresses can't be checked.
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), PublicOnly::new(allowed)?);
        Ok(Self { agent, delay, next: Instant::now() })
    }

    /// What lies at `url`, at most `limit` bytes of `media_type` (or the beginning of one, such as `image/`).
    ///
    /// # Errors
    /// A sentence without the address.
    pub fn get(&mut self, url: &str, query: &[(&str, &str)], media_type: &str, limit: usize) -> Result<Vec<u8>> {
        let mut retry = 0;
        loop {
            sleep(self.next.saturating_duration_since(Instant::now()));
            self.next = Instant::now() + self.delay;
            match self.try_get(url, query, media_type, limit) {
                Ok(bytes) => return Ok(bytes),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, _)) if retry == MOST_RETRIES => {
                    return Err(error.context(format!("{} tries failed, the last so", retry + 1)));
                }
                Err(Failure::Passing(_, Some(wait))) if wait > LONGEST_WAIT => {
                    bail!("the host asks to be left alone for {} seconds: try again later", wait.as_secs());
                }
                Err(Failure::Passing(_, wait)) => {
                    self.next = Instant::now() + wait.unwrap_or_default().max(self.delay * 2_u32.pow(retry));
                    retry += 1;
                }
            }
        }
    }

    fn try_get(&self, url: &str, query: &[(&str, &str)], media_type: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let request = self.agent.get(url).query_pairs(query.iter().copied());
        let mut response = request.call().map_err(Failure::from)?;
        let status = response.status();
        if !status.is_success() {
            let error = anyhow!("the host answers {status}");
            let wait = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
            let is_passing = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
            return Err(if is_passing { Failure::Passing(error, wait) } else { Failure::Final(error) });
        }
        let body: &mut Body = response.body_mut();
        if let Some(given) = body.mime_type().filter(|given| !given.starts_with(media_type))
            // What hosts say that do not know.
            && given != "application/octet-stream" && given != "binary/octet-stream"
        {
            return Err(Failure::Final(anyhow!("the host says that it is {given}, not {media_type}")));
        }
        let too_large = || Failure::Final(anyhow!("is larger than {limit} bytes"));
        if body.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        body.with_config().limit(limit as u64).read_to_vec().map_err(|error| match error {
            Error::BodyExceedsLimit(_) => too_large(),
            error => error.into(),
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
                Self::Passing(error.into(), None)
            }
            Error::Other(refused) => Self::Final(anyhow!(refused)),
            error => Self::Final(error.into()),
        }
    }
}

/// Seconds, or the date when they are over (RFC 9110, section 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7"), Some(Duration::from_secs(7)));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let wait = retry_after(&later).unwrap();
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
