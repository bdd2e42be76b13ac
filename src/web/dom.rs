//! Small helpers for what web-sys leaves long.

use wasm_bindgen::prelude::*;
use web_sys::{
    CanvasRenderingContext2d, Document, DocumentFragment, Element, HtmlCanvasElement, HtmlTemplateElement, ImageBitmap,
    ImageData, Window,
};

/// A bitmap that gives its memory back when dropped. One that was moved to the worker has none here any more.
pub(super) struct Bitmap(pub ImageBitmap);

impl Drop for Bitmap {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The page's window.
pub(super) fn window() -> Window {
    js_sys::global().unchecked_into()
}

/// The page's document.
pub(super) fn document() -> Document {
    window().document().unwrap_throw()
}

/// The part of our own markup with this id; it is there, since the markup is compiled in.
pub(super) fn part<T: JsCast>(root: &DocumentFragment, id: &str) -> T {
    root.get_element_by_id(id).unwrap_throw().unchecked_into()
}

/// The descendant of our own markup with this class.
pub(super) fn child<T: JsCast>(parent: &Element, class: &str) -> T {
    parent.get_elements_by_class_name(class).item(0).unwrap_throw().unchecked_into()
}

/// Shows or hides an element.
pub(super) fn show(element: &Element, shown: bool) {
    // An attribute of this name can always be set.
    let _ = element.toggle_attribute_with_force("hidden", !shown);
}

/// Makes a canvas show a picture, pixel by pixel; its size on the page is the style's business.
pub(super) fn paint(canvas: &HtmlCanvasElement, picture: &ImageData) {
    canvas.set_width(picture.width());
    canvas.set_height(picture.height());
    let context = canvas.get_context("2d").ok().flatten().map(JsCast::unchecked_into::<CanvasRenderingContext2d>);
    if let Some(context) = context {
        // The whole picture lies within the canvas.
        let _ = context.put_image_data(picture, 0.0, 0.0);
    }
}

/// Sets an attribute.
pub(super) fn set(element: &Element, name: &str, value: &str) {
    // Ours are all valid names.
    let _ = element.set_attribute(name, value);
}

/// A copy of the one element in a template.
pub(super) fn copy<T: JsCast>(template: &HtmlTemplateElement) -> T {
    let content: DocumentFragment = template.content();
    content.first_element_child().unwrap_throw().clone_node_with_deep(true).unwrap_throw().unchecked_into()
}
