//! Live answers from the camera. The camera is on exactly as long as its [`Session`] lives.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use gloo_events::EventListener;
use js_sys::{Array, Promise, Reflect};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    DomException, HtmlCanvasElement, HtmlVideoElement, MediaDeviceInfo, MediaDeviceKind, MediaDevices, MediaStream,
    MediaStreamConstraints, MediaStreamTrack,
};

use super::{
    Answer, Failure, ModelInfo,
    classifier::to_js,
    display,
    dom::{self, Bitmap},
    failure::sentence,
    widget::Inner,
};

/// From the moment the user asks for the camera until it is off.
#[derive(Default)]
pub(super) struct Session {
    /// Empty while the browser asks the user.
    running: RefCell<Option<Running>>,
}

struct Running {
    stream: Stream,
    _unplugged: Option<EventListener>,
}

/// Switches the camera off when dropped, whatever the reason.
struct Stream(MediaStream);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.get_tracks().iter().for_each(|track| track.unchecked_into::<MediaStreamTrack>().stop());
    }
}

/// What is asked of the browser: a certain camera, or one that looks away from the user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Video {
    device_id: Option<Exact>,
    facing_mode: Option<&'static str>,
    width: Ideal,
}

#[derive(Serialize)]
struct Exact {
    exact: String,
}

#[derive(Serialize)]
struct Ideal {
    ideal: u32,
}

/// Switches a camera on.
pub(super) fn start(widget: &Rc<Inner>) {
    begin(widget, None);
    widget.show_camera(true);
}

/// Begins a session with the camera of this id, or any. An older session ends first: phones open one camera at a time.
fn begin(widget: &Rc<Inner>, device: Option<String>) {
    let session = Rc::new(Session::default());
    let weak = Rc::downgrade(&session);
    widget.camera.replace(Some(session));
    video(widget).set_src_object(None);
    widget.show_starting();
    let widget = Rc::downgrade(widget);
    spawn_local(async move {
        let outcome = run(&widget, &weak, device).await;
        // Who stopped it already knows.
        if let (Err(failure), Some(widget), 1..) = (outcome, widget.upgrade(), weak.strong_count()) {
            stop(&widget);
            widget.fail(&failure);
        }
    });
}

/// Switches the camera off.
pub(super) fn stop(widget: &Inner) {
    widget.camera.replace(None);
    video(widget).set_src_object(None);
    widget.show_camera(false);
}

/// Goes on with the browser's next camera.
pub(super) fn switch(widget: &Rc<Inner>) {
    let Some(session) = widget.camera.borrow().clone() else { return };
    let Some(now) = session.device() else { return };
    let (weak, session) = (Rc::downgrade(widget), Rc::downgrade(&session));
    spawn_local(async move {
        let cameras = cameras().await;
        let next = cameras.iter().position(|id| *id == now).map_or(0, |i| (i + 1) % cameras.len());
        // What was stopped meanwhile stays off.
        if let (Some(widget), 1.., Some(id)) = (weak.upgrade(), session.strong_count(), cameras.get(next)) {
            begin(&widget, Some(id.clone()));
        }
    });
}

/// Shows live answers until the session is over.
async fn run(widget: &Weak<Inner>, session: &Weak<Session>, device: Option<String>) -> Result<(), Failure> {
    let stream = open(device).await?;
    {
        // Stopped while the browser asked: the stream ends here, unused.
        let (Some(widget), Some(session)) = (widget.upgrade(), session.upgrade()) else { return Ok(()) };
        show(&widget, &session, stream);
    }
    let several = cameras().await.len() > 1;
    if let Some(widget) = widget.upgrade() {
        dom::show(&dom::part(&widget.root, "camera-switch"), several);
    }
    loop {
        next_frame().await;
        let (model, explain, frame) = {
            let (Some(widget), 1..) = (widget.upgrade(), session.strong_count()) else { return Ok(()) };
            // The model may still be on its way.
            let Some(model) = widget.model() else { continue };
            (model, widget.explain.get(), grab(&widget))
        };
        // The first picture may be, too.
        let Ok(frame) = JsFuture::from(frame).await else { continue };
        let frame = Bitmap(frame.unchecked_into());
        let wanted = session.clone();
        let Some(answer) = model.classify_frame(&frame.0, explain, move || wanted.strong_count() > 0).await else {
            return Ok(());
        };
        let answer = answer?;
        let (Some(widget), 1..) = (widget.upgrade(), session.strong_count()) else { return Ok(()) };
        show_answer(&widget, &model.info, &answer);
        widget.answered(None, &answer);
    }
}

async fn open(device: Option<String>) -> Result<Stream, Failure> {
    let devices = devices().ok_or_else(|| {
        Failure::new("camera-unavailable", "the browser gives no camera to this page: open it over https")
    })?;
    let constraints = MediaStreamConstraints::new();
    let facing_mode = device.is_none().then_some("environment");
    let video = Video { device_id: device.map(|exact| Exact { exact }), facing_mode, width: Ideal { ideal: 640 } };
    constraints.set_video(&to_js(&video));
    let stream = async { JsFuture::from(devices.get_user_media_with_constraints(&constraints)?).await };
    stream.await.map(|stream| Stream(stream.unchecked_into())).map_err(|e| refusal(&e))
}

fn refusal(exception: &JsValue) -> Failure {
    match exception.dyn_ref::<DomException>().map(DomException::name).as_deref() {
        Some("NotAllowedError") => {
            Failure::new("camera-denied", "the camera is not allowed: allow it for this page in the browser's settings")
        }
        Some("NotFoundError" | "OverconstrainedError") => {
            Failure::new("camera-missing", "there is no camera: connect one, or choose a photo")
        }
        Some("NotReadableError") => {
            Failure::new("camera-busy", "the camera is in use: close what uses it and try again")
        }
        _ => Failure::new("camera-unavailable", format!("the camera can't be started ({})", sentence(exception))),
    }
}

fn show(widget: &Rc<Inner>, session: &Rc<Session>, stream: Stream) {
    let video = video(widget);
    video.set_src_object(Some(&stream.0));
    video.set_class_name(if stream.setting("facingMode").as_deref() == Some("user") { "mirrored" } else { "" });
    // It also plays by its attribute, and says nothing useful where it can't.
    let _ = video.play().map(|promise| spawn_local(async { _ = JsFuture::from(promise).await }));
    let weak = Rc::downgrade(widget);
    let unplugged = stream.track().map(|track| {
        EventListener::once(&track, "ended", move |_| {
            if let Some(widget) = weak.upgrade() {
                stop(&widget);
                widget.fail(&Failure::new("camera-missing", "the camera was taken away: connect it and start again"));
            }
        })
    });
    session.running.replace(Some(Running { stream, _unplugged: unplugged }));
}

fn show_answer(widget: &Inner, info: &ModelInfo, answer: &Answer) {
    let words = display::verdict(info, answer);
    let (label, probability) = display::shown(info, answer);
    let time = display::fixed(answer.milliseconds() as f32, 0);
    let text = format!("{words} · {} {label} · {time}\u{a0}ms", display::percent(probability));
    dom::part::<web_sys::Element>(&widget.root, "live").set_text_content(Some(&text));
    let class = if display::is_positive(info, answer) { "bar positive" } else { "bar" };
    let bar: web_sys::Element = dom::part(&widget.root, "live-bar");
    bar.set_class_name(class);
    display::fill(&bar, info, answer);
    let heat: HtmlCanvasElement = dom::part(&widget.root, "live-heat");
    dom::show(&heat, answer.heat().is_some());
    if let Some(picture) = answer.heat() {
        dom::paint(&heat, &picture);
    }
    widget.announce_live(&words);
}

impl Session {
    /// The id of the camera that runs.
    fn device(&self) -> Option<String> {
        self.running.borrow().as_ref().and_then(|running| running.stream.setting("deviceId"))
    }
}

impl Stream {
    fn track(&self) -> Option<MediaStreamTrack> {
        self.0.get_video_tracks().get(0).dyn_into().ok()
    }

    fn setting(&self, name: &str) -> Option<String> {
        Reflect::get(&self.track()?.get_settings(), &name.into()).ok()?.as_string()
    }
}

/// `None` where the page is not served safely, or the browser has no cameras.
fn devices() -> Option<MediaDevices> {
    dom::window().navigator().media_devices().ok().filter(|devices| !devices.is_undefined())
}

/// The ids of all cameras.
async fn cameras() -> Vec<String> {
    let all = async { JsFuture::from(devices()?.enumerate_devices().ok()?).await.ok() };
    let all: Array = all.await.map(JsCast::unchecked_into).unwrap_or_default();
    let devices = all.iter().map(JsCast::unchecked_into::<MediaDeviceInfo>);
    devices.filter(|d| d.kind() == MediaDeviceKind::Videoinput).map(|d| d.device_id()).collect()
}

fn video(widget: &Inner) -> HtmlVideoElement {
    dom::part(&widget.root, "video")
}

/// What the camera shows now.
fn grab(widget: &Inner) -> Promise {
    dom::window().create_image_bitmap_with_html_video_element(&video(widget)).unwrap_or_else(|e| Promise::reject(&e))
}

/// Waits until the browser is about to paint; never while the page is hidden.
async fn next_frame() {
    let painted = Promise::new(&mut |resolve, _| {
        // Without a window there is no page to paint, and nothing to wait for.
        let _ = dom::window().request_animation_frame(&resolve);
    });
    // It is never rejected.
    let _ = JsFuture::from(painted).await;
}
