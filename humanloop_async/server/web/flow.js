// Text that grows token by token.
//
// Tokens are collected and written once per frame. The browser computes the layout of a whole paragraph after each
// change in it, so that the cost of a token would grow with the text. Therefore finished lines go into separate
// elements: into a block, which ends at the first line end after `BLOCK` characters, and within that, for as long as
// it grows, into parts, which end at a line of the screen after `PART` characters. Parts would be in the way when the
// width changes or somebody copies the text, so they are joined when their block ends.
//
// The browser skips groups of `GROUP` blocks and parts while they are out of view.

const BLOCK = 2_000;
const PART = 400; // more if the text grows fast: a cut costs as much as a few frames without it
const GROUP = 8;

const waiting = new Set();
let frame = 0;

function flush() {
  frame = 0;
  const flows = [...waiting];
  waiting.clear();
  for (const flow of flows) {
    flow.settle();
    flow.write();
  }
  if (document.hidden) return;
  // All reads after all writes: the layout is computed once per frame, however many flows have grown. What follows from
  // the reads is written in the next frame, with its text.
  for (const flow of flows) flow.onwrite?.();
  for (const flow of flows) if (flow.measure()) schedule(flow);
}

/** Write what has arrived, without waiting for the next frame: hidden tabs have no frames. */
function schedule(flow) {
  waiting.add(flow);
  if (document.hidden) flush();
  else if (!frame) frame = requestAnimationFrame(flush);
}

export class Flow {
  #pending = "";
  #written = 0; // characters, in the last frame
  #node = null; // the text that grows, the last one of `#parts`
  #parts = []; // the texts of the block
  #length = 0; // of the block
  #group = null;
  #full = []; // groups that the browser does not skip yet
  #heights = []; // of `#full`
  #cut = 0; // where the last line of the screen begins
  #width = null; // at which the parts were made
  #resize = new ResizeObserver(([{ contentRect }]) => {
    this.#width ??= contentRect.width;
    if (contentRect.width !== this.#width) this.#join();
  });

  /**
   * @param {HTMLElement} element
   * @param {() => void} [onwrite] Called after each frame's text has been written. It may read the layout, and must not
   *     change it.
   */
  constructor(element, onwrite) {
    this.element = element;
    this.onwrite = onwrite;
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
    if (text !== "") this.#written = text.length;
    while (text !== "") {
      if (this.#node === null) this.#open(document.createTextNode(""), "auto");
      const end = text.indexOf("\n", Math.max(0, BLOCK - this.#length));
      const part = end < 0 ? text : text.slice(0, end);
      this.#node.appendData(part);
      this.#length += part.length;
      text = end < 0 ? "" : text.slice(end + 1);
      if (end >= 0) this.#close(); // the block's end takes the place of the line end
    }
  }

  /** Write what is left. */
  end() {
    this.settle();
    this.write();
    waiting.delete(this);
    this.#join();
    for (const group of this.#full) group.classList.add("done");
  }

  #open(node, dir) {
    if (this.#group === null || this.#group.childElementCount === GROUP) {
      if (this.#group !== null) this.#full.push(this.#group);
      this.#group = document.createElement("div");
      this.element.append(this.#group);
    }
    const element = document.createElement("div");
    element.dir = dir;
    element.append(node);
    this.#group.append(element);
    this.#node = node;
    this.#parts.push(node);
  }

  #close() {
    this.#join();
    this.#node = null;
    this.#parts = [];
    this.#length = 0;
  }

  /** Read the layout, and return whether `settle` has something to do. */
  measure() {
    this.#heights = this.#full.map((group) => group.getBoundingClientRect().height);
    this.#cut = this.#findCut();
    return this.#heights.length > 0 || this.#cut > 0;
  }

  /** Let the browser skip the groups that are full, and cut the growing text, as measured. */
  settle() {
    for (const height of this.#heights) {
      const group = this.#full.shift();
      group.style.containIntrinsicBlockSize = `auto ${height}px`;
      group.classList.add("done");
    }
    this.#heights = [];
    if (this.#cut === 0) return;
    const { direction } = getComputedStyle(this.#node.parentNode);
    this.#open(this.#node.splitText(this.#cut), direction);
    this.#resize.observe(this.element);
    this.#cut = 0;
  }

  /** Return where the last line of the screen begins, if the growing text is long; else 0. */
  #findCut() {
    const node = this.#node;
    if (node === null || node.length < Math.max(PART, 4 * this.#written)) return 0;
    const range = document.createRange();
    const top = (place) => {
      while (place > 0 && node.data[place] === "\n") place -= 1; // a line end has no place of its own
      range.setStart(node, place);
      range.setEnd(node, place + 1);
      return range.getBoundingClientRect().top;
    };
    const last = top(node.length - 1);
    let [before, place] = [0, node.length - 1];
    if (top(before) >= last) return 0; // one line, or not displayed
    while (place - before > 1) {
      const middle = (before + place) >> 1;
      if (top(middle) < last) before = middle;
      else place = middle;
    }
    return place;
  }

  #join() {
    this.#resize.disconnect();
    this.#width = null;
    this.#cut = 0;
    if (this.#parts.length < 2) return;
    const [first, ...rest] = this.#parts;
    first.appendData(rest.map((node) => node.data).join(""));
    for (const node of rest) node.parentNode.remove();
    this.#group = first.parentNode.parentNode;
    this.#group.classList.remove("done");
    this.#group.removeAttribute("style");
    while (this.#group.nextSibling !== null) this.#group.nextSibling.remove();
    this.#full = this.#full.filter((group) => group.isConnected && group !== this.#group);
    this.#heights = [];
    this.#node = first;
    this.#parts = [first];
  }
}

/** Show a whole text in the same form. */
export function flowed(element, text) {
  const flow = new Flow(element);
  flow.append(text);
  flow.end();
  return element;
}
