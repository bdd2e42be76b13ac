//! The list of photos: how they come, how they are judged, what came out.

use std::rc::{Rc, Weak};

use wasm_bindgen_futures::spawn_local;
use web_sys::{ClipboardEvent, DragEvent, File, FileList, HtmlInputElement};

use super::{
    card::{Card, State},
    dom,
    widget::Inner,
};

/// The list.
impl Inner {
    /// Takes photos into the list and judges them.
    pub fn add(self: &Rc<Self>, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        // A model that is missing stays a problem.
        if self.model().is_some() {
            self.hide_problem();
        }
        for file in files {
            let photo = Rc::new_cyclic(|photo: &Weak<Card>| {
                let act = |act: fn(&Rc<Self>, &Rc<Card>)| {
                    let (this, photo) = (Rc::downgrade(self), photo.clone());
                    move || {
                        if let (Some(this), Some(photo)) = (this.upgrade(), photo.upgrade()) {
                            act(&this, &photo);
                        }
                    }
                };
                let list = self.part("photos");
                Card::new(
                    &dom::part(&self.root, "photo"),
                    &list,
                    file,
                    act(Self::judge),
                    act(Self::remove),
                    act(Self::look_inside),
                )
            });
            self.photos.borrow_mut().push(photo.clone());
            self.judge(&photo);
        }
        self.summarize();
    }

    /// Judges a photo, now or when there is a model.
    pub fn judge(self: &Rc<Self>, photo: &Rc<Card>) {
        let Some(model) = self.model() else { return };
        photo.show_waiting();
        let turn = photo.turn.get() + 1;
        photo.turn.set(turn);
        self.summarize();
        let (file, explain) = (photo.file.clone(), self.explain.get());
        let (this, photo) = (Rc::downgrade(self), Rc::downgrade(photo));
        let wanted = photo.clone();
        let is_wanted = move || wanted.upgrade().is_some_and(|photo| photo.turn.get() == turn);
        spawn_local(async move {
            let Some(outcome) = model.classify(&file, explain, is_wanted.clone()).await else { return };
            let (Some(this), Some(photo), true) = (this.upgrade(), photo.upgrade(), is_wanted()) else { return };
            match outcome {
                Ok(answer) => {
                    photo.show_answer(&model.info, &answer);
                    this.judged(&photo);
                    this.answered(Some(&photo.file), &answer);
                }
                Err(failure) => {
                    photo.show_failure(&failure);
                    this.judged(&photo);
                    this.dispatch_error(Some(&photo.file), &failure);
                }
            }
        });
    }

    /// Shows what the network's convolutions make of a photo.
    fn look_inside(self: &Rc<Self>, photo: &Rc<Card>) {
        let Some(model) = self.model() else { return };
        let (turn, file, photo) = (photo.turn.get(), photo.file.clone(), Rc::downgrade(photo));
        let (this, wanted) = (Rc::downgrade(self), photo.clone());
        let is_wanted = move || wanted.upgrade().is_some_and(|photo| photo.turn.get() == turn);
        spawn_local(async move {
            let Some(outcome) = model.feature_maps(&file, is_wanted.clone()).await else { return };
            let (Some(this), Some(photo), true) = (this.upgrade(), photo.upgrade(), is_wanted()) else { return };
            match outcome {
                Ok(maps) => photo.show_maps(&maps),
                // The answer on the card is as good as before.
                Err(failure) => this.fail(&failure),
            }
        });
    }

    fn remove(self: &Rc<Self>, photo: &Rc<Card>) {
        let mut photos = self.photos.borrow_mut();
        let place = photos.iter().position(|other| Rc::ptr_eq(other, photo)).unwrap_or_default();
        photos.retain(|other| !Rc::ptr_eq(other, photo));
        let neighbour = photos.get(place).or(photos.last()).cloned();
        drop(photos);
        self.summarize();
        // It may have been the last that was waited for.
        self.tell(None);
        // The button that had the focus goes with its card.
        match neighbour {
            Some(neighbour) => neighbour.focus(),
            None => self.focus_top(),
        }
    }

    pub fn clear(self: &Rc<Self>) {
        self.photos.borrow_mut().clear();
        self.judged.set(0);
        self.summarize();
        self.focus_top();
    }

    /// Gives the focus to the first button that is shown.
    fn focus_top(&self) {
        let _ = self.part(if self.camera.borrow().is_some() { "camera-stop" } else { "choose" }).focus();
    }

    fn judged(&self, last: &Card) {
        self.judged.set(self.judged.get() + 1);
        self.summarize();
        self.tell(Some(last));
    }

    /// Tells people who can't see it what came out, once everything is judged: a hundred answers are no announcement.
    fn tell(&self, last: Option<&Card>) {
        let photos = self.photos.borrow();
        if photos.iter().any(|photo| matches!(*photo.state.borrow(), State::Waiting)) {
            return;
        }
        let text = match (self.judged.take(), last) {
            (0, _) => return,
            (1, Some(last)) => last.sentence(),
            _ if photos.is_empty() => return,
            _ => self.part("summary").text_content().unwrap_or_default(),
        };
        self.announce(&text);
    }

    /// The line over the list: `3 photos: 2 × Husky, 1 × Not a husky`, never broken beside a `×`.
    fn summarize(&self) {
        let photos = self.photos.borrow();
        let mut counts: Vec<(String, usize)> = Vec::new();
        let mut waiting = 0;
        for photo in photos.iter() {
            let words = match &*photo.state.borrow() {
                State::Waiting => {
                    waiting += 1;
                    continue;
                }
                State::Answered(words) => words.clone(),
                State::Failed => "no answer".to_owned(),
            };
            match counts.iter_mut().find(|(known, _)| *known == words) {
                Some((_, count)) => *count += 1,
                None => counts.push((words, 1)),
            }
        }
        let total = photos.len();
        let text = if waiting > 0 {
            format!("{} of {total} judged", total - waiting)
        } else {
            let counts: Vec<String> =
                counts.iter().map(|(words, count)| format!("{count}\u{a0}×\u{a0}{words}")).collect();
            format!("{total} {}: {}", if total == 1 { "photo" } else { "photos" }, counts.join(", "))
        };
        self.part("summary").set_text_content(Some(&text));
        dom::show(&self.part("results"), total > 0);
    }
}

/// Drop and paste.
impl Inner {
    pub fn drag(&self, event: &DragEvent) {
        let types = event.data_transfer().map(|data| data.types()).unwrap_or_default();
        if types.includes(&"Files".into(), 0) {
            event.prevent_default();
            self.set_dragging(true);
        }
    }

    pub fn dropped(self: &Rc<Self>, event: &DragEvent) {
        self.set_dragging(false);
        let Some(data) = event.data_transfer() else { return };
        if data.types().includes(&"Files".into(), 0) {
            event.prevent_default();
            self.add(files(data.files()));
        }
    }

    pub fn pasted(self: &Rc<Self>, event: &ClipboardEvent) {
        let pasted = files(event.clipboard_data().and_then(|data| data.files()));
        if !pasted.is_empty() {
            event.prevent_default();
            self.add(pasted);
        }
    }

    pub fn set_dragging(&self, dragging: bool) {
        self.part("frame").set_class_name(if dragging { "frame dragging" } else { "frame" });
    }
}

/// The files that the user chose; the input can be used again, even for the same ones.
pub(super) fn take(input: &HtmlInputElement) -> Vec<File> {
    let chosen = files(input.files());
    input.set_value("");
    chosen
}

fn files(list: Option<FileList>) -> Vec<File> {
    list.map_or_else(Vec::new, |list| (0..list.length()).filter_map(|i| list.item(i)).collect())
}
