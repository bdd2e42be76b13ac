//! The page's side of the worker: one worker for all elements of the page, one request at a time, each with a time
//! limit, for which downloads of the worker don't count. A worker that dies or hangs is ended and the next request starts
//! a new one; only the request that it was working on fails.

use std::{cell::RefCell, collections::VecDeque};

use futures_channel::oneshot;
use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use js_sys::Array;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::{Failure, Reply, Request, failure::sentence};

/// A model is megabytes to check, a photo may be a decoding bomb, and either may come to a slow phone.
const TIME_LIMIT: u32 = 20_000;

thread_local! {
    static BRIDGE: RefCell<Bridge> = RefCell::default();
}

#[derive(Default)]
struct Bridge {
    /// Where `worker.js` lies.
    script: String,
    worker: Option<LiveWorker>,
    waiting: VecDeque<Job>,
    running: Option<Running>,
}

/// The request that the worker works on.
struct Running {
    reply: oneshot::Sender<Outcome>,
    /// None while the worker downloads, which has a limit of its own.
    _clock: Option<Timeout>,
}

struct LiveWorker {
    worker: Worker,
    _listeners: [EventListener; 3],
}

struct Job {
    request: Request,
    is_wanted: Box<dyn Fn() -> bool>,
    reply: oneshot::Sender<Outcome>,
}

type Outcome = Result<Reply, Failure>;

/// Says where `worker.js` lies; before anything is sent.
pub(super) fn set_script(url: &str) {
    BRIDGE.with_borrow_mut(|bridge| url.clone_into(&mut bridge.script));
}

/// Starts the worker, so that it is there when the model is.
pub(super) fn start() {
    // Where it can't be started, the first request says so.
    BRIDGE.with_borrow_mut(|bridge| _ = bridge.worker());
}

/// Sends a request, in its turn, unless `is_wanted` says no by then. `None`: it was not wanted any more.
pub(super) async fn send(request: Request, is_wanted: impl Fn() -> bool + 'static) -> Option<Outcome> {
    let (reply, outcome) = oneshot::channel();
    BRIDGE.with_borrow_mut(|bridge| {
        bridge.waiting.push_back(Job { request, is_wanted: Box::new(is_wanted), reply });
        bridge.advance();
    });
    outcome.await.ok()
}

/// Gives a model's memory back. Nobody waits for it.
pub(super) fn forget(model: u32) {
    BRIDGE.with_borrow_mut(|bridge| {
        // A dead worker has forgotten everything.
        if bridge.worker.is_some() {
            let (reply, _) = oneshot::channel();
            bridge.waiting.push_back(Job { request: Request::forget(model), is_wanted: Box::new(|| true), reply });
            bridge.advance();
        }
    });
}

/// Ends the worker and gives all its memory back; a later request starts another.
pub(super) fn end() {
    BRIDGE.with_borrow_mut(|bridge| {
        bridge.worker = None;
        bridge.running = None;
        bridge.waiting.clear();
    });
}

impl Bridge {
    /// Gives the worker the next request if it has none.
    fn advance(&mut self) {
        while self.running.is_none() {
            let Some(job) = self.waiting.pop_front() else { return };
            if !(job.is_wanted)() {
                continue;
            }
            match self.post(&job.request) {
                Ok(()) => self.running = Some(Running { reply: job.reply, _clock: Some(clock()) }),
                // Whoever asked may be gone.
                Err(why) => _ = job.reply.send(Err(Failure::new("worker-died", why))),
            }
        }
    }

    /// The worker, started where there is none. The error is a sentence.
    fn worker(&mut self) -> Result<&Worker, String> {
        Ok(match &mut self.worker {
            Some(live) => &live.worker,
            none => &none.insert(LiveWorker::start(&self.script).map_err(|e| unstartable(&sentence(&e)))?).worker,
        })
    }

    /// The error is a sentence.
    fn post(&mut self, request: &Request) -> Result<(), String> {
        let worker = self.worker()?;
        let posted = match request.frame() {
            // A frame is moved, not copied.
            Some(frame) => worker.post_message_with_transfer(request, &Array::of1(&frame)),
            None => worker.post_message(request),
        };
        posted.map_err(|e| {
            format!("the browser can't hand this to the classifier's worker ({}): try again", sentence(&e))
        })
    }

    /// Ends the current request with `outcome`.
    fn finish(&mut self, outcome: Outcome) {
        if let Some(running) = self.running.take() {
            // Whoever asked may be gone.
            let _ = running.reply.send(outcome);
        }
        self.advance();
    }
}

impl LiveWorker {
    fn start(script: &str) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(script, &options)?;
        // Compiled once, on the page.
        worker.post_message(&wasm_bindgen::module())?;
        let listeners = [
            EventListener::new(&worker, "message", |event| {
                let reply: Reply = event.unchecked_ref::<MessageEvent>().data().unchecked_into();
                BRIDGE.with_borrow_mut(|bridge| match reply.downloading() {
                    Some(downloading) => {
                        if let Some(running) = &mut bridge.running {
                            running._clock = (!downloading).then(clock);
                        }
                    }
                    None => bridge.finish(Failure::read(&reply.failure()).map_or(Ok(reply), Err)),
                });
            }),
            EventListener::new(&worker, "error", |event| {
                // A script that can't be loaded gives an event without a message.
                let message = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message).unwrap_or_default();
                died(if message.is_empty() { "worker.js can't be loaded" } else { &message });
            }),
            EventListener::new(&worker, "messageerror", |_| died("it sent something unreadable")),
        ];
        Ok(Self { worker, _listeners: listeners })
    }
}

impl Drop for LiveWorker {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// Ends the request when its time is up, unless it is dropped before.
fn clock() -> Timeout {
    Timeout::new(TIME_LIMIT, timed_out)
}

fn timed_out() {
    replace(Failure::new(
        "timeout",
        format!("this took longer than {} seconds and was stopped: try a smaller file", TIME_LIMIT / 1000),
    ));
}

fn died(why: &str) {
    replace(Failure::new("worker-died", format!("the classifier stopped at this ({why}) and was started anew")));
}

fn unstartable(why: &str) -> String {
    format!("the browser can't start the classifier's worker ({why}): reload the page")
}

/// Ends the worker; what waits goes on with a new one.
fn replace(failure: Failure) {
    BRIDGE.with_borrow_mut(|bridge| {
        bridge.worker = None;
        bridge.finish(Err(failure));
    });
}
