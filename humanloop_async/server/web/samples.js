// One sample as it grows: text, reasoning, tool calls, and the figures of its stream.

import { action, badge, copyText, h, link, replace } from "./dom.js";
import { Flow } from "./flow.js";
import { seconds } from "./format.js";

const AT_END = 40; // pixels: a reader this close to the end follows the text

export class SampleCard {
  #tokens = 0;
  #first = null; // time of the first token
  #last = null;
  #started;
  #flow;
  #reasoning = null;
  #text = "";
  #isFollowed = true;
  #top = 0; // the last scroll position

  /**
   * @param {string} title
   * @param {number} started Time at which the call was sent, of `performance.now()`.
   */
  constructor(title, started) {
    this.#started = started;
    this.title = h("h3", null, title);
    this.state = h("span.state", null, "waiting");
    this.output = h("div.output", { tabIndex: 0, role: "region", "aria-label": `Output of ${title}` });
    this.thinking = h("div");
    this.calls = h("div.tool-calls");
    this.problem = h("div");
    this.figures = h("dl.figures");
    this.buttons = h("div.actions");
    this.#flow = new Flow(h("div.text"), () => this.#follow());
    this.output.append(this.thinking, this.#flow.element, this.calls, this.problem);
    this.element = h("article.sample.card.running", null, h("header", null, this.title, this.state), this.output, this.figures, this.buttons);
    this.id = null;
    this.finishReason = null;
  }

  get text() {
    return this.#text;
  }

  get textElement() {
    return this.#flow.element;
  }

  /** Add a chunk of v4. */
  add(chunk) {
    this.id ??= chunk.id ?? null;
    const text = chunk.output ?? "";
    const now = performance.now();
    if (text || chunk.reasoning || chunk.tool_calls) {
      if (this.#first === null) {
        this.#first = now;
        this.state.textContent = "streaming";
      }
      this.#last = now;
      this.#tokens += 1;
    }
    if (chunk.reasoning) this.#think(chunk.reasoning);
    if (text) {
      this.#text += text;
      this.#flow.append(text);
    }
    if (chunk.finish_reason) this.finishReason = chunk.finish_reason;
  }

  /** Show the end of the sample. `sample` is the assembled one. */
  finish(sample) {
    this.sample = sample;
    this.#end(sample.finishReason, sample.finishReason === "stop" || sample.finishReason === "tool_call" ? "good" : "warn");
    if (sample.toolCalls) replace(this.calls, sample.toolCalls.map(toolCall));
    if (!this.#text && !sample.toolCalls) this.calls.append(h("p.hint", null, "The output is empty."));
    this.#follow();
  }

  /** Show why the stream ended early. The text that has arrived stays. */
  fail(message, state = "broken") {
    this.#end(state, "bad");
    replace(this.problem, h("p.problem", { role: "alert" }, message));
    this.#follow();
  }

  stop() {
    this.#end("stopped", "warn");
  }

  get isOver() {
    return !this.element.classList.contains("running");
  }

  /** Tokens per second after the first one; null for less than two. */
  get pace() {
    return this.#tokens > 1 && this.#last > this.#first ? ((this.#tokens - 1) / (this.#last - this.#first)) * 1000 : null;
  }

  #end(state, kind) {
    this.#reasoning?.end();
    this.#flow.end();
    this.element.classList.remove("running");
    replace(this.state, badge(state, kind));
    const first = this.#first === null ? null : (this.#first - this.#started) / 1000;
    const rows = [
      ["first token", seconds(first)],
      ["pace", this.pace === null ? null : `${this.pace.toFixed(this.pace < 100 ? 1 : 0)} tokens/s`],
      ["tokens", this.#tokens || null],
    ];
    replace(
      this.figures,
      rows.filter(([, value]) => value !== null).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
    );
  }

  #think(text) {
    if (this.#reasoning === null) {
      const body = h("div.text");
      this.#reasoning = new Flow(body, () => this.#follow());
      this.thinking.append(h("details.reasoning", { open: true }, h("summary", null, "Reasoning"), body));
    }
    this.#reasoning.append(text);
  }

  /** Keep the end of the output in view, unless the reader has scrolled up. */
  #follow() {
    const { output } = this;
    output.onscroll ??= () => {
      const top = output.scrollTop;
      if (output.scrollHeight - top - output.clientHeight < AT_END) this.#isFollowed = true;
      else if (top < this.#top) this.#isFollowed = false;
      this.#top = top;
    };
    if (this.#isFollowed) output.scrollTop = output.scrollHeight;
  }
}

export function toolCall(call) {
  let text = call.function?.arguments ?? "";
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // A model's arguments need not be JSON.
  }
  return h("div.tool-call", null, h("span.hint", null, "tool call"), h("strong", null, call.function?.name ?? ""), h("pre", null, text));
}

export function copyButton(card) {
  return action("Copy", () => copyText(card.text), { class: "small" });
}

export function logLink(id) {
  return link("Open log", `#/logs/${encodeURIComponent(id)}`, { class: "button small" });
}
