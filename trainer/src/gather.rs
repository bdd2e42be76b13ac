//! `husky gather`: photos for a label, from the internet, with their licences.

mod addresses;
mod client;
mod collection;
mod commons;
mod license;
mod openverse;
mod urls;

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use husky::Pixels;
use ipnet::IpNet;
use serde::Serialize;

use crate::output;
use crate::photos::Skipped;
use crate::progress::Progress;
use crate::train::INTERRUPTED;
use client::{Client, Manners};
use collection::Collection;
use commons::Commons;
use license::License;
use openverse::Openverse;
use urls::Urls;

/// The longest that can be asked for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Fetch photos for a label
///
/// Searches Openverse or Wikimedia Commons, or goes through a list of addresses, and puts photos into DATA/training/LABEL and
/// DATA/validation/LABEL, near-duplicates on one side. DATA/attribution.csv says of each who made it, under which licence, and
/// where it is from. The same command again goes on where it stopped. Look through the photos before you train: a search
/// finds more than huskies; what you delete does not come back.
///
/// The exit code is 1 where fewer photos than --count were found.
///
/// Example: husky gather --query "siberian husky" --label husky --out DATA --count 200
#[derive(Debug, clap::Args)]
pub struct GatherArgs {
    /// What to search for
    #[arg(long, value_name = "WORDS", required_unless_present = "urls")]
    pub query: Option<String>,
    /// The label: the name of the photos' folder
    #[arg(long, value_name = "LABEL")]
    pub label: String,
    /// The folder of photos to add to
    #[arg(long, value_name = "DATA")]
    pub out: PathBuf,
    /// Photos to have of this search in the end; of a list, all by default
    #[arg(long, value_name = "N", required_unless_present = "urls")]
    pub count: Option<usize>,
    /// Where to search
    #[arg(long, value_enum, default_value_t = Source::Openverse)]
    pub provider: Source,
    /// Instead of a search, a text file with an address a line. Their licences are yours to look up
    #[arg(long, value_name = "FILE", conflicts_with_all = ["query", "provider", "licenses", "api"])]
    pub urls: Option<PathBuf>,
    /// Which licences to take, of any version
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LICENCES", default_value = "cc0,pdm,by,by-sa")]
    pub licenses: Vec<License>,
    /// Share of the label's photos that go to the validation part
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub validation_fraction: f64,
    /// Your address or page, for the hosts' logs: Wikimedia asks for it
    #[arg(long, value_name = "ADDRESS")]
    pub contact: Option<String>,
    /// Seconds from one request to the next; a failed one is tried again after 1, 2, 4 and 8 times as long, or when the host says
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub delay: f64,
    /// Seconds until a request is given up
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// A network that may be connected to although it is not public, such as 192.168.7.0/24; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub allow: Vec<IpNet>,
    /// Another address of the provider's API, such as another MediaWiki's
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    /// Write one JSON object: training, validation (photos of the label), new, skipped (addresses and reasons)
    #[arg(long)]
    pub json: bool,
}

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Photos of Flickr, museums and others: openverse.org
    Openverse,
    /// Wikimedia Commons: commons.wikimedia.org
    Commons,
}

/// The most bytes of an API's answer.
const MAX_ANSWER: usize = 4 << 20;

/// A photo that a provider found. What it does not know is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Of the picture itself.
    url: String,
    title: String,
    author: String,
    license: String,
    license_url: String,
    /// The page that shows the photo.
    source: String,
}

/// Where photos are found.
trait Provider {
    /// The next photos, of wanted licences, best first; `None` at the end.
    ///
    /// # Errors
    /// One sentence without the provider's name.
    fn next_page(&mut self, client: &mut Client) -> Result<Option<Vec<Found>>>;

    /// Photos in all, where that is known before the first page.
    fn length(&self) -> Option<usize> {
        None
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    training: usize,
    validation: usize,
    new: usize,
    skipped: Vec<Skipped>,
}

/// Runs the command; exit code 1 says that fewer photos were found than asked for.
///
/// # Errors
/// One sentence for a wrong argument, a provider that does not answer, or a file that can't be read or written. What was
/// kept until then stays.
pub fn run(args: GatherArgs) -> Result<ExitCode> {
    args.check()?;
    let seconds = |seconds: f64, flag| {
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= DAY);
        time.with_context(|| format!("{flag} {seconds}: is no time between 0 and a day, in seconds"))
    };
    let manners = Manners {
        contact: args.contact.clone(),
        delay: seconds(args.delay, "--delay")?,
        timeout: seconds(args.timeout, "--timeout")?,
        allowed: args.allow.clone(),
    };
    let mut client = Client::new(manners)?;
    let (name, mut provider) = args.provider()?;
    let query = args.query.as_deref().unwrap_or_default();
    let mut collection = Collection::open(&args.out, &args.label, args.validation_fraction)?;
    // Files are whole at any moment, so a stop needs nothing but a word.
    ctrlc::set_handler(|| {
        output::say("stopped; the same command goes on");
        std::process::exit(INTERRUPTED.into());
    })?;

    let before = collection.count(name, query);
    let mut skipped = Vec::new();
    // Where no count is asked for, it is the list's length.
    let progress = match (args.count, provider.length()) {
        (Some(count), _) => Some(Progress::new("fetching photos", count.saturating_sub(before))),
        (None, length) => length.map(|length| Progress::new("going through the list", length)),
    };
    let step = || progress.iter().for_each(Progress::step);
    let mut new = 0;
    let is_enough = |new: usize| args.count.is_some_and(|count| before + new >= count);
    'pages: while !is_enough(new) {
        let page = provider.next_page(&mut client).with_context(|| name.to_owned())?;
        let Some(page) = page else { break };
        for found in page {
            if is_enough(new) {
                break 'pages;
            }
            if args.count.is_none() {
                step();
            }
            if collection.has_url(&found.url) {
                continue;
            }
            let url = found.url.clone();
            let kept = match client.get(&url, &[], "image/", Pixels::MAX_FILE) {
                Ok(bytes) => collection.add(&bytes, found, name, query)?,
                Err(error) => Err(error),
            };
            match kept {
                Ok(()) => {
                    new += 1;
                    if args.count.is_some() {
                        step();
                    }
                }
                Err(reason) => {
                    let reason = format!("{reason:#}");
                    output::say(format_args!("{url}: {reason}"));
                    skipped.push(Skipped { file: url, reason });
                }
            }
        }
    }
    drop(progress);
    let [training, validation] = collection.counts();
    let report = Report { training, validation, new, skipped };
    output::print(&if args.json { serde_json::to_string(&report)? + "\n" } else { report.text(&args) })?;
    let is_short = args.count.is_some() && !is_enough(new);
    Ok(if is_short { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl GatherArgs {
    fn check(&self) -> Result<()> {
        let mut components = Path::new(&self.label).components();
        let is_name = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        ensure!(is_name && !self.label.starts_with('.'), "--label {:?}: it must be the name of a folder", self.label);
        let share = self.validation_fraction;
        ensure!(share > 0.0 && share < 1.0, "--validation-fraction must lie between 0 and 1");
        let flat = self.out.join(&self.label);
        ensure!(
            !flat.is_dir(),
            "{}: photos would be put into training/{} beside it, and train would overlook this folder: move it there",
            flat.display(),
            self.label
        );
        Ok(())
    }

    /// The provider, and its name in the record.
    fn provider(&self) -> Result<(&'static str, Box<dyn Provider>)> {
        if let Some(list) = &self.urls {
            return Ok(("urls", Box::new(Urls::read(list)?)));
        }
        let api = |public: &str| self.api.clone().unwrap_or_else(|| public.to_owned());
        let query = self.query.clone().unwrap_or_default();
        let licenses = self.licenses.clone();
        Ok(match self.provider {
            Source::Openverse => ("openverse", Box::new(Openverse::new(api(openverse::API), query, licenses))),
            Source::Commons => ("commons", Box::new(Commons::new(api(commons::API), query, licenses))),
        })
    }
}

impl Report {
    fn text(&self, args: &GatherArgs) -> String {
        let Self { training, validation, new, skipped } = self;
        let (label, out, skipped) = (&args.label, args.out.display(), skipped.len());
        format!(
            "{new} new photos, {skipped} skipped\n\
             {out}: {training} {label} for training, {validation} for validation; attribution.csv says where they are from\n"
        )
    }
}
