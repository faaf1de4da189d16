// Markdown as elements, for outputs of models. Their text is not trusted: a sanitiser keeps the tags that Markdown has.
//
// The libraries are loaded with the first text. They are copies of published packages: see vendor/versions.json.

import { h } from "./dom.js";

const LONGEST = 100_000; // characters
const LONGEST_PARAGRAPH = 10_000; // characters; the time that a parser takes can grow with the square of this

const SANITISER = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "dd", "del", "dl", "dt", "em", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "mark", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"],
  // No `id` or `class`, which the page's own elements have, no `style`, and nothing that loads another file.
  ALLOWED_ATTR: ["align", "href", "start", "title"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  // Links within this page could make it act, or give it another key.
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  RETURN_DOM_FRAGMENT: true,
};

let libraries = null;

async function load() {
  const [{ default: purify }, { Marked }] = await Promise.all([import("./vendor/dompurify/purify.es.mjs"), import("./vendor/marked/marked.esm.js")]);
  const marked = new Marked({ gfm: true, walkTokens: adapt, renderer: { checkbox: ({ checked }) => (checked ? "☑ " : "☐ ") } });
  return { purify, marked };
}

/** The view has its own headings of the first levels. An image of another server would tell it who reads: it is a link. */
function adapt(token) {
  if (token.type === "heading") token.depth = Math.min(6, token.depth + 2);
  if (token.type === "image") Object.assign(token, { type: "link", tokens: [{ type: "text", raw: token.text, text: token.text || token.href }] });
}

/**
 * Return Markdown as elements.
 *
 * @param {string} text
 * @returns {Promise<DocumentFragment|null>} Null for a text that would take long.
 */
export async function fromMarkdown(text) {
  if (text.length > LONGEST || text.split(/\n[ \t]*\n/).some((paragraph) => paragraph.length > LONGEST_PARAGRAPH)) return null;
  libraries ??= load().catch((error) => {
    libraries = null; // the next text tries again
    throw error;
  });
  const { purify, marked } = await libraries;
  let html;
  try {
    html = marked.parse(text);
  } catch {
    return null; // nested too deeply
  }
  const fragment = purify.sanitize(html, SANITISER);
  for (const link of fragment.querySelectorAll("a[href]")) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  for (const block of fragment.querySelectorAll("blockquote, dd, dt, h3, h4, h5, h6, li, p, td, th")) block.dir = "auto";
  return fragment;
}

/** Shows texts as they are, or as Markdown, as the reader has chosen in this tab. */
export class MarkdownSwitch {
  #key;
  #texts = new Map(); // by the element with the text as it is

  /** @param {string} place Where the choice applies, such as "log". */
  constructor(place) {
    this.#key = `humanloop-markdown-${place}`;
    this.box = h("input", {
      type: "checkbox",
      checked: sessionStorage.getItem(this.#key) === "1",
      onchange: () => {
        sessionStorage.setItem(this.#key, this.box.checked ? "1" : "0");
        for (const element of this.#texts.keys()) this.#show(element);
      },
    });
    this.element = h("label.check", null, this.box, "Markdown");
  }

  /** Add a whole text. `element` shows it as it is. */
  add(element, text) {
    if (!text) return;
    this.#texts.set(element, { text, view: null, isText: false });
    this.#show(element);
  }

  /** Forget all texts, which are no longer shown. */
  clear() {
    this.#texts.clear();
  }

  async #show(element) {
    const shown = this.#texts.get(element);
    if (this.box.checked && shown.view === null) {
      shown.view = h("div.markdown");
      let content = null, reason = "This text is too long to be shown as Markdown.";
      try {
        content = await fromMarkdown(shown.text);
      } catch (error) {
        reason = `This text cannot be shown as Markdown: ${error.message}`;
      }
      shown.isText = content === null;
      shown.view.append(content ?? h("p.hint", null, reason));
      element.after(shown.view);
    }
    element.hidden = this.box.checked && !shown.isText;
    if (shown.view) shown.view.hidden = !this.box.checked;
  }
}
