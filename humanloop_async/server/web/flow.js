// Text that grows token by token.
//
// Tokens are collected and written once per frame. A finished part of the text becomes a block of its own, which the
// browser does not lay out again: the cost of a token does not grow with the text.

const BLOCK = 2_000; // characters, after which the next line end starts another block

const waiting = new Set();
let frame = 0;

function flush() {
  frame = 0;
  const flows = [...waiting];
  waiting.clear();
  for (const flow of flows) flow.write();
}

/** Write what has arrived, without waiting for the next frame: hidden tabs have no frames. */
function schedule(flow) {
  waiting.add(flow);
  if (document.hidden) flush();
  else if (!frame) frame = requestAnimationFrame(flush);
}

export class Flow {
  #pending = "";
  #node = null;
  #length = 0;

  constructor(element) {
    this.element = element;
    element.classList.add("flow");
    element.dir = "auto";
  }

  append(text) {
    if (text === "") return;
    this.#pending += text;
    schedule(this);
  }

  /** Write the tokens that have arrived since the last frame. */
  write() {
    let text = this.#pending;
    this.#pending = "";
    while (text !== "") {
      if (this.#node === null) {
        const block = document.createElement("div");
        block.dir = "auto";
        this.#node = document.createTextNode("");
        this.#length = 0;
        block.append(this.#node);
        this.element.append(block);
      }
      const end = text.indexOf("\n", Math.max(0, BLOCK - this.#length));
      const part = end < 0 ? text : text.slice(0, end);
      this.#node.appendData(part);
      this.#length += part.length;
      text = end < 0 ? "" : text.slice(end + 1);
      if (end >= 0) this.#node = null; // the block's end takes the place of the line end
    }
  }

  get text() {
    return this.element.innerText;
  }
}

/** Show a whole text in the same form. */
export function flowed(element, text) {
  const flow = new Flow(element);
  flow.append(text);
  waiting.delete(flow);
  flow.write();
  return element;
}
