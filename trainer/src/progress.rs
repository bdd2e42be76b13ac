//! How far long work has come, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::{
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// How far a piece of work of known length has come. Threads share it.
pub struct Progress {
    bar: ProgressBar,
    /// Where standard error is no terminal: when the next line is due.
    next_line: Option<Mutex<Instant>>,
    what: &'static str,
}

impl Progress {
    const LINE_EVERY: Duration = Duration::from_secs(10);

    /// Starts to show work of `length` steps; `what` is what is done, such as "reading photos".
    pub fn new(what: &'static str, length: usize) -> Self {
        let bar = ProgressBar::new(length as u64).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta} left") {
            bar.set_style(style);
        }
        let next_line = (!std::io::stderr().is_terminal()).then(|| Mutex::new(Instant::now() + Self::LINE_EVERY));
        Self { bar, next_line, what }
    }

    /// One more step is done.
    pub fn step(&self) {
        self.bar.inc(1);
        let Some(next_line) = &self.next_line else { return };
        if let Ok(mut next_line) = next_line.try_lock()
            && Instant::now() >= *next_line
        {
            *next_line = Instant::now() + Self::LINE_EVERY;
            output::say(format_args!(
                "{} {}/{}",
                self.what,
                self.bar.position(),
                self.bar.length().unwrap_or_default()
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
