//! The custom element's logic: `<husky-classifier>` in the page is a thin class around a [`Widget`].

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use gloo_events::{EventListener, EventListenerOptions};
use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    CustomEvent, CustomEventInit, DragEvent, Event, EventTarget, File, HtmlElement, HtmlInputElement,
    HtmlProgressElement, Node, ShadowRoot, ShadowRootInit, ShadowRootMode, Url,
};

use super::{
    Answer, Failure, bridge,
    camera::{self, Session},
    card::Card,
    classifier::to_js,
    display, dom,
    model::Model,
    photos::take,
};

/// A `<husky-classifier>` in the page. `free()` ends it: camera, listeners, thumbnails and model.
#[wasm_bindgen]
pub struct Widget {
    inner: Rc<Inner>,
}

pub(super) struct Inner {
    host: HtmlElement,
    pub root: ShadowRoot,
    /// The folder of our scripts, where the default model lies too.
    folder: String,
    model: RefCell<Option<Rc<Model>>>,
    /// Counts the models that were asked for, so that one that was overtaken can be told.
    model_turn: Cell<u32>,
    pub photos: RefCell<Vec<Rc<Card>>>,
    /// Photos judged since the last announcement.
    pub judged: Cell<usize>,
    pub camera: RefCell<Option<Rc<Session>>>,
    last_live: RefCell<String>,
    /// Whether answers are shown with their heat maps.
    pub explain: Cell<bool>,
    listeners: RefCell<Vec<EventListener>>,
}

#[wasm_bindgen]
impl Widget {
    /// Fills the element and loads its model. `folder` is where our scripts lie.
    ///
    /// # Errors
    /// Where the element can't have a shadow root.
    #[wasm_bindgen(constructor)]
    pub fn new(host: HtmlElement, folder: String) -> Result<Widget, JsValue> {
        bridge::set_script(&format!("{folder}worker.js"));
        let root = match host.shadow_root() {
            // The element was taken out of the page and comes back.
            Some(root) => root,
            None => host.attach_shadow(&ShadowRootInit::new(ShadowRootMode::Open))?,
        };
        root.set_inner_html(include_str!("widget.html"));
        adopt_style(&root)?;
        let inner = Rc::new(Inner {
            host,
            root,
            folder,
            model: RefCell::default(),
            model_turn: Cell::default(),
            photos: RefCell::default(),
            judged: Cell::default(),
            camera: RefCell::default(),
            last_live: RefCell::default(),
            explain: Cell::default(),
            listeners: RefCell::default(),
        });
        inner.listen();
        inner.fetch_model();
        Ok(Self { inner })
    }

    /// Loads the model that the attribute `model` names now.
    #[wasm_bindgen(js_name = fetchModel)]
    pub fn fetch_model(&self) {
        self.inner.fetch_model();
    }
}

/// A constructed sheet: the page's policy forbids inline styles, rightly.
fn adopt_style(root: &ShadowRoot) -> Result<(), JsValue> {
    let sheet = web_sys::CssStyleSheet::new()?;
    sheet.replace_sync(include_str!("widget.css"))?;
    Reflect::set(root, &"adoptedStyleSheets".into(), &js_sys::Array::of1(&sheet))?;
    Ok(())
}

/// Wiring.
impl Inner {
    fn listen(self: &Rc<Self>) {
        self.click("choose", |this| this.input("files").click());
        self.click("choose-model", |this| this.input("model-file").click());
        self.click("clear", Self::clear);
        self.click("camera-start", camera::start);
        self.click("camera-stop", |this| camera::stop(this));
        self.click("camera-switch", camera::switch);
        self.click("camera-explain", Self::toggle_heat);
        self.click("photos-explain", Self::toggle_heat);
        self.click("problem-close", |this| {
            this.hide_problem();
            // Where there is something to try again, it is the next thing to do.
            let _ = this.part("model-retry").focus();
        });
        self.click("problem-retry", Self::fetch_model);
        self.click("model-retry", Self::fetch_model);
        self.on(&self.input("files"), "change", |this, _| this.add(take(&this.input("files"))));
        self.on(&self.input("model-file"), "change", |this, _| {
            if let Some(file) = take(&this.input("model-file")).into_iter().next() {
                this.open_model(file);
            }
        });
        let document = dom::document();
        self.on(&document, "visibilitychange", |this, _| {
            if dom::document().hidden() && this.camera.borrow().is_some() {
                camera::stop(this);
            }
        });
        // An element that is the page's only business takes what falls anywhere on it.
        let target: Node =
            if self.host.has_attribute("whole-page") { document.into() } else { self.host.clone().into() };
        for name in ["dragenter", "dragover"] {
            self.on(&target, name, |this, event| this.drag(event.unchecked_ref()));
        }
        let inside = target.clone();
        self.on(&target, "dragleave", move |this, event| {
            // Only when the pointer leaves for good, not from one part to the next.
            let next = event.unchecked_ref::<DragEvent>().related_target();
            if !inside.contains(next.as_ref().and_then(|next| next.dyn_ref())) {
                this.set_dragging(false);
            }
        });
        self.on(&target, "drop", |this, event| this.dropped(event.unchecked_ref()));
        self.on(&target, "paste", |this, event| this.pasted(event.unchecked_ref()));
    }

    fn on(self: &Rc<Self>, target: &EventTarget, name: &'static str, act: impl Fn(&Rc<Self>, &Event) + 'static) {
        let this = Rc::downgrade(self);
        let options = EventListenerOptions::enable_prevent_default();
        let listener = EventListener::new_with_options(target, name, options, move |event| {
            if let Some(this) = this.upgrade() {
                act(&this, event);
            }
        });
        self.listeners.borrow_mut().push(listener);
    }

    fn click(self: &Rc<Self>, id: &str, act: impl Fn(&Rc<Self>) + 'static) {
        self.on(&dom::part::<EventTarget>(&self.root, id), "click", move |this, _| act(this));
    }

    fn input(&self, id: &str) -> HtmlInputElement {
        dom::part(&self.root, id)
    }

    pub fn part(&self, id: &str) -> HtmlElement {
        dom::part(&self.root, id)
    }
}

/// The model.
impl Inner {
    pub fn model(&self) -> Option<Rc<Model>> {
        self.model.borrow().clone()
    }

    /// Loads the model of the attribute `model`, an address as in any HTML, or the one that ships beside our scripts.
    fn fetch_model(self: &Rc<Self>) {
        let url = match self.host.get_attribute("model") {
            None => format!("{}models/husky.safetensors", self.folder),
            Some(model) => match Url::new_with_base(&model, &self.host.base_uri().ok().flatten().unwrap_or_default()) {
                Ok(url) => url.href(),
                Err(_) => model,
            },
        };
        self.hide_problem();
        let (turn, weak) = (self.next_turn(), Rc::downgrade(self));
        let progress = move |fraction| {
            if let Some(this) = weak.upgrade().filter(|this| this.model_turn.get() == turn) {
                this.show_progress(fraction);
            }
        };
        self.load(turn, Model::fetch(url, progress), None);
    }

    /// Loads a model file that the user chose.
    fn open_model(self: &Rc<Self>, file: File) {
        let name = file.name();
        self.load(self.next_turn(), Model::open(file.into()), Some(name));
    }

    /// Overtakes the model that is on its way, if there is one.
    fn next_turn(&self) -> u32 {
        self.model_turn.set(self.model_turn.get() + 1);
        self.show_progress(0.0);
        self.model_turn.get()
    }

    fn show_progress(&self, fraction: f64) {
        self.part("progress").unchecked_into::<HtmlProgressElement>().set_value(fraction);
    }

    /// Takes the model that `loading` gives; where it gives none, the old one stays.
    fn load(
        self: &Rc<Self>,
        turn: u32,
        loading: impl Future<Output = Result<Rc<Model>, Failure>> + 'static,
        name: Option<String>,
    ) {
        dom::show(&self.part("progress"), true);
        self.update_retry();
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let loaded = loading.await;
            let Some(this) = weak.upgrade().filter(|this| this.model_turn.get() == turn) else { return };
            dom::show(&this.part("progress"), false);
            match loaded {
                Ok(model) => this.use_model(model, name.is_some()),
                Err(failure) => this.keep_model(&failure, name.as_deref()),
            }
        });
    }

    fn use_model(self: &Rc<Self>, model: Rc<Model>, by_hand: bool) {
        self.part("model").set_text_content(Some(&display::model(&model.info, by_hand)));
        self.model.replace(Some(model));
        self.hide_problem();
        self.judge_all();
    }

    fn judge_all(self: &Rc<Self>) {
        let photos = self.photos.borrow().clone();
        photos.iter().for_each(|photo| self.judge(photo));
    }

    fn keep_model(&self, failure: &Failure, name: Option<&str>) {
        let kept = self.model();
        if kept.is_none() {
            self.part("model").set_text_content(Some("No model"));
        }
        let message = match (name, kept) {
            (Some(name), Some(kept)) => {
                format!("{name}: {}. The model {} stays in use.", failure.message, kept.info.name())
            }
            (Some(name), None) => format!("{name}: {}.", failure.message),
            (None, _) => format!("{}.", failure.message),
        };
        // Without any model the one that can be downloaded is the way on, also after a file that is none.
        dom::show(&self.part("problem-retry"), name.is_none() || self.model().is_none());
        self.show_problem(&message);
        self.dispatch_error(None, failure);
    }
}

/// What is shown and told.
impl Inner {
    pub fn show_camera(&self, on: bool) {
        let focused = self.root.active_element().map(|element| element.id()).unwrap_or_default();
        dom::show(&self.part("camera"), on);
        dom::show(&self.part("drop"), !on);
        // The button that had the focus may be hidden now.
        let _ = match (&focused[..], on) {
            ("camera-start", true) => self.part("camera-stop").focus(),
            ("camera-stop" | "camera-switch", false) => self.part("camera-start").focus(),
            _ => Ok(()),
        };
        self.announce(if on { "The camera is on" } else { "The camera is off" });
    }

    /// Shows that no live answer is there yet.
    pub fn show_starting(&self) {
        dom::show(&self.part("live-heat"), false);
        self.part("live").set_text_content(Some("Starting the camera…"));
        dom::show(&self.part("live-bar"), false);
        self.last_live.replace(String::new());
    }

    /// Tells a live answer to people who can't see it, when it changes.
    pub fn announce_live(&self, words: &str) {
        if *self.last_live.borrow() != words {
            words.clone_into(&mut self.last_live.borrow_mut());
            self.announce(words);
        }
    }

    /// Shows heat maps from now on, or no more.
    fn toggle_heat(self: &Rc<Self>) {
        self.explain.set(!self.explain.get());
        for id in ["camera-explain", "photos-explain"] {
            dom::set(&self.part(id), "aria-pressed", &self.explain.get().to_string());
        }
        self.judge_all();
    }

    pub fn announce(&self, text: &str) {
        self.part("announcement").set_text_content(Some(text));
    }

    fn show_problem(&self, message: &str) {
        self.part("problem-text").set_text_content(Some(message));
        dom::show(&self.part("problem"), true);
        self.update_retry();
    }

    pub fn hide_problem(&self) {
        dom::show(&self.part("problem"), false);
        self.update_retry();
    }

    /// Offers the model that can be downloaded while there is none, unless the problem that is shown does.
    fn update_retry(&self) {
        let is_shown = |id| !self.part(id).has_attribute("hidden");
        let is_offered = is_shown("problem") && is_shown("problem-retry");
        dom::show(&self.part("model-retry"), self.model().is_none() && !is_shown("progress") && !is_offered);
    }

    /// Shows a failure that is no photo's, and tells the page.
    pub fn fail(&self, failure: &Failure) {
        dom::show(&self.part("problem-retry"), false);
        self.show_problem(&format!("{}.", failure.message));
        self.dispatch_error(None, failure);
    }

    /// Tells the page an answer; of a camera frame, without a file.
    pub fn answered(&self, file: Option<&File>, answer: &Answer) {
        self.dispatch("husky-result", file, answer);
    }

    pub fn dispatch_error(&self, file: Option<&File>, failure: &Failure) {
        self.dispatch("husky-error", file, to_js(failure).unchecked_ref());
    }

    fn dispatch(&self, name: &str, file: Option<&File>, detail: &Object) {
        if let Some(file) = file {
            // Setting a property of an object of ours can't fail.
            let _ = Reflect::set(detail, &"file".into(), file);
        }
        let init = CustomEventInit::new();
        init.set_detail(detail);
        init.set_bubbles(true);
        init.set_composed(true);
        if let Ok(event) = CustomEvent::new_with_event_init_dict(name, &init) {
            // Nobody can cancel it.
            let _ = self.host.dispatch_event(&event);
        }
    }
}
