// The picture while it is made, and once it is. Owns the canvas, the progress and the film of flow blocks.

import { announce, element } from "./element.js";
import { jobWords } from "./job_words.js";
import { imageOf, pngSource, titleOf } from "./picture.js";
import { pictureTools } from "./picture_tools.js";
import { wish } from "./wishes.js";

const NOISE_SIDE = 28;

export class Stage {
  // When the flow began; 0 before.
  #startedS = 0;
  #done = 0;
  #again = "";
  #waiting = "";

  constructor(root) {
    const part = (name) => root.querySelector(`[data-${name}]`);
    Object.assign(this, { root, canvas: part("canvas"), passage: part("passage"), film: part("film") });
    Object.assign(this, { words: part("words"), tools: part("tools"), cancel: part("cancel"), bar: root.querySelector("progress") });
    this.#rest("");
  }

  begin() {
    this.#startedS = 0;
    this.#again = "";
    this.#rewind();
    this.#waiting = "";
    this.#rest("");
    this.#tell(0, "Sending the request");
    this.passage.hidden = false;
    // Whoever pressed one of the tools is led on, not left nowhere.
    if (this.tools.contains(document.activeElement)) this.cancel.focus();
    this.tools.replaceChildren();
    this.root.setAttribute("aria-busy", "true");
    // On a phone the button is far below.
    if (this.root.getBoundingClientRect().top < 0) this.root.scrollIntoView();
  }

  // An event of the job, as `run` tells it.
  hear(event, data) {
    const words = jobWords(event, data);
    if (words) this.#wait(words);
    else if (event === "status" || data.done < this.#done) this.#run();
    this.#done = data.done ?? this.#done;
    if (event === "progress") this.#advance(data);
    else if (event === "preview") this.#preview(data);
  }

  show(pictures) {
    this.#end();
    const many = pictures.length > 1;
    this.canvas.classList.toggle("many", many);
    this.canvas.style.setProperty("--columns", Math.ceil(Math.sqrt(pictures.length)));
    this.canvas.replaceChildren(
      ...pictures.map((picture) => {
        const image = imageOf(picture);
        return many ? element("button", { type: "button", click: () => wish("look", picture) }, image) : image;
      }),
    );
    this.tools.replaceChildren(...(many ? [] : pictureTools(pictures[0])));
    announce(many ? `${pictures.length} pictures are ready` : `The picture is ready: ${titleOf(pictures[0])}`);
  }

  // Nothing came of it.
  give(words) {
    this.#end();
    this.#rewind();
    this.#rest(words);
    announce(words);
  }

  // Blocks go by too fast to be told to those who listen; what is waited for does not.
  #wait(words) {
    this.#tell(0, words);
    if (words !== this.#waiting) announce(words);
    this.#waiting = words;
  }

  #run() {
    // A worker that dies leaves its job to another one, which begins anew.
    if (this.#startedS) this.#again = "Started again. ";
    this.#startedS = performance.now() / 1000;
    this.#rewind();
    this.#tell(0, `${this.#again}The flow begins`);
  }

  #rewind() {
    this.#done = 0;
    this.film.replaceChildren();
    this.film.hidden = true;
  }

  #advance({ done, steps, progress }) {
    const leftS = ((performance.now() / 1000 - this.#startedS) / done) * (steps - done);
    const left = done < steps && this.#startedS && leftS >= 0.1 ? `, about ${leftS.toFixed(1)} s left` : "";
    this.#tell(progress, done < steps ? `${this.#again}Block ${done} of ${steps}${left}` : "Finishing");
  }

  #preview({ done, png_base64 }) {
    const source = pngSource(png_base64);
    this.canvas.classList.remove("many");
    this.canvas.replaceChildren(element("img", { src: source, alt: `The picture after ${done} flow blocks` }));
    const frame = element("img", { src: source, alt: `After block ${done}` });
    this.film.append(element("li", {}, frame, element("span", { "aria-hidden": "true" }, `block ${done}`)));
    this.film.hidden = false;
  }

  #tell(progress, words) {
    this.bar.value = progress;
    this.words.textContent = words;
  }

  #end() {
    this.passage.hidden = true;
    this.root.removeAttribute("aria-busy");
  }

  // What a flow begins with, drawn here for the eye alone.
  #rest(words) {
    const noise = element("canvas", { width: NOISE_SIDE, height: NOISE_SIDE, class: "noise", "aria-hidden": "true" });
    const context = noise.getContext("2d");
    const pixels = context.createImageData(NOISE_SIDE, NOISE_SIDE);
    for (let place = 0; place < pixels.data.length; place += 4) {
      const grey = 128 + 46 * (Math.random() + Math.random() + Math.random() + Math.random() - 2) * 1.7;
      pixels.data.set([grey, grey, grey, 255], place);
    }
    context.putImageData(pixels, 0, 0);
    this.canvas.classList.remove("many");
    this.canvas.replaceChildren(noise, element("p", { class: "over" }, `${words} Every picture begins as noise`.trim()));
  }
}
