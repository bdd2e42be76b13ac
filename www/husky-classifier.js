// <husky-classifier>: the class that the platform wants in JavaScript. All it does is in Rust, src/web/widget.rs.
//
//   <script type="module" src="…/husky-classifier.js"></script>
//   <husky-classifier></husky-classifier>
//
// Attributes: `model`, the address of a model file (else models/husky.safetensors beside this script), and
// `whole-page`, to take what is dropped or pasted anywhere on the page.
// Events: `husky-result` (detail: file and what `interface Answer` of husky.d.ts has) and `husky-error`
// (detail: file, code, message); `file` is missing where it is not about a photo file.
import init, { Widget } from "./husky.js";
import { module_or_path } from "./husky-module.js";

const folder = new URL("./", import.meta.url).href;
const ready = init({ module_or_path });

class HuskyClassifier extends HTMLElement {
  static observedAttributes = ["model"];
  #widget = null;

  async connectedCallback() {
    try {
      await ready;
      if (this.isConnected && !this.#widget) this.#widget = new Widget(this, folder);
    } catch (error) {
      // Beside a shadow root the element's own text is not shown.
      (this.shadowRoot ?? this).textContent = `The classifier can't start in this browser (${error.message}): reload the page or update the browser.`;
    }
  }

  disconnectedCallback() {
    this.#widget?.free();
    this.#widget = null;
  }

  attributeChangedCallback() {
    this.#widget?.fetchModel();
  }
}

customElements.define("husky-classifier", HuskyClassifier);
