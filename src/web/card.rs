//! A photo on the page: its thumbnail and its answer.

use std::cell::{Cell, RefCell};

use gloo_events::EventListener;
use gloo_file::ObjectUrl;
use wasm_bindgen::JsCast;
use web_sys::{Element, File, HtmlCanvasElement, HtmlElement, HtmlImageElement, HtmlTemplateElement, ImageData};

use super::{Answer, Failure, ModelInfo, display, dom};

/// A photo on the page. Dropping it takes its card away and gives its thumbnail's memory back.
pub(super) struct Card {
    pub file: File,
    pub state: RefCell<State>,
    /// Counts the judgements, so that one that was overtaken can be told.
    pub turn: Cell<u32>,
    element: HtmlElement,
    _thumbnail: ObjectUrl,
    _listeners: [EventListener; 4],
}

/// What is known about a photo.
pub(super) enum State {
    Waiting,
    /// The answer in words.
    Answered(String),
    Failed,
}

impl Card {
    /// Puts a card at the end of `list`.
    pub fn new(
        template: &HtmlTemplateElement,
        list: &Element,
        file: File,
        again: impl Fn() + 'static,
        remove: impl Fn() + 'static,
        inside: impl Fn() + 'static,
    ) -> Self {
        let card: HtmlElement = dom::copy(template);
        let name: HtmlElement = dom::child(&card, "name");
        name.set_text_content(Some(&file.name()));
        name.set_title(&file.name());
        dom::set(&dom::child(&card, "remove"), "aria-label", &format!("Remove {}", file.name()));
        dom::set(&dom::child(&card, "again"), "aria-label", &format!("Try {} again", file.name()));

        let thumbnail = ObjectUrl::from(gloo_file::File::from(file.clone()));
        let image: HtmlImageElement = dom::child(&card, "image");
        image.set_src(&thumbnail);
        let listeners = [
            // The browser may be unable to show what this crate decodes, or neither can.
            EventListener::once(&image, "error", |event| {
                if let Some(image) = event.target() {
                    dom::set(image.unchecked_ref(), "class", "image broken");
                }
            }),
            EventListener::new(&dom::child::<Element>(&card, "again"), "click", move |_| again()),
            EventListener::new(&dom::child::<Element>(&card, "remove"), "click", move |_| remove()),
            EventListener::new(&dom::child::<Element>(&card, "inside"), "click", move |_| inside()),
        ];
        // Appending to an element of our own can't fail.
        let _ = list.append_child(&card);
        Self {
            file,
            state: RefCell::new(State::Waiting),
            turn: Cell::new(0),
            element: card,
            _thumbnail: thumbnail,
            _listeners: listeners,
        }
    }

    /// Shows that the photo is being judged.
    pub fn show_waiting(&self) {
        self.state.replace(State::Waiting);
        self.show("photo", "Judging…", "", "");
        dom::set(&self.element, "aria-busy", "true");
    }

    /// Shows an answer.
    pub fn show_answer(&self, info: &ModelInfo, answer: &Answer) {
        let words = display::verdict(info, answer);
        let (label, probability) = display::shown(info, answer);
        let by = if answer.decoded_by() == "browser" { " · decoded by the browser" } else { "" };
        let time = format!("{}\u{a0}ms{by}", display::fixed(answer.milliseconds() as f32, 0));
        let class = if display::is_positive(info, answer) { "photo positive" } else { "photo" };
        self.show(class, &words, &format!("{} {label}", display::percent(probability)), &time);
        display::fill(&dom::child(&self.element, "bar"), info, answer);
        dom::show(&dom::child(&self.element, "warning"), answer.hides_another());
        if let Some(heat) = answer.heat() {
            let canvas: HtmlCanvasElement = dom::child(&self.element, "heat");
            dom::paint(&canvas, &heat);
            dom::set(&canvas, "aria-label", &format!("Heat map: what speaks for {}", answer.label()));
            self.element.set_class_name(&format!("{class} explained"));
            dom::show(&canvas, true);
            dom::show(&dom::child(&self.element, "inside"), true);
        }
        self.state.replace(State::Answered(words));
    }

    /// Shows feature maps.
    pub fn show_maps(&self, maps: &ImageData) {
        dom::paint(&dom::child(&self.element, "mosaic"), maps);
        dom::show(&dom::child(&self.element, "inside"), false);
        let frame: HtmlElement = dom::child(&self.element, "maps");
        dom::show(&frame, true);
        // The button that had the focus is gone.
        let _ = frame.focus();
    }

    /// Shows what went wrong.
    pub fn show_failure(&self, failure: &Failure) {
        self.show("photo failed", "No answer", "", "");
        let text: Element = dom::child(&self.element, "failure");
        text.set_text_content(Some(&format!("{}.", failure.message)));
        dom::show(&text, true);
        dom::show(&dom::child(&self.element, "again"), true);
        self.state.replace(State::Failed);
    }

    /// Gives the focus to the button that removes the photo.
    pub fn focus(&self) {
        let _ = dom::child::<HtmlElement>(&self.element, "remove").focus();
    }

    /// Name and answer in one sentence.
    pub fn sentence(&self) -> String {
        let state = self.state.borrow();
        let outcome = if let State::Answered(words) = &*state { words } else { "no answer" };
        let warning: Element = dom::child(&self.element, "warning");
        let warning = if warning.has_attribute("hidden") { None } else { warning.text_content() };
        let warning = warning.map(|text| format!(". {text}")).unwrap_or_default();
        format!("{}: {outcome}{warning}", self.file.name())
    }

    fn show(&self, class: &str, label: &str, percent: &str, time: &str) {
        dom::set(&self.element, "aria-busy", "false");
        self.element.set_class_name(class);
        for (part, text) in [("label", label), ("percent", percent), ("time", time)] {
            dom::child::<Element>(&self.element, part).set_text_content(Some(text));
        }
        for part in ["bar", "warning", "failure", "again", "heat", "inside", "maps"] {
            dom::show(&dom::child(&self.element, part), false);
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.element.remove();
    }
}
