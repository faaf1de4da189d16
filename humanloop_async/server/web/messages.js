// The messages of a chat: to read, and to edit.

import { button, field, h, replace, select } from "./dom.js";
import { flowed } from "./flow.js";
import { toolCall } from "./samples.js";

const ROLES = ["user", "assistant", "system", "tool"];

/**
 * Return the parts of a message's content, with images as thumbnails. Only `data:` images are loaded.
 *
 * @param {string|object[]} content
 * @param {(element: Element, text: string) => void} [ontext] Called for each text.
 */
export function messageParts(content, ontext) {
  const parts = Array.isArray(content) ? content : content ? [{ type: "text", text: content }] : [];
  return parts.map((part) => {
    if (part.type === "text") {
      const element = flowed(h("div.text"), part.text ?? "");
      ontext?.(element, part.text ?? "");
      return element;
    }
    const url = imageUrl(part);
    if (url?.startsWith("data:image/")) return h("img.thumbnail", { src: url, alt: "Image of the message", loading: "lazy" });
    return h("p.hint", null, "image: ", h("code", null, url ?? "unknown"));
  });
}

function imageUrl(part) {
  return typeof part.image_url === "string" ? part.image_url : part.image_url?.url;
}

export function messageView(message, ontext) {
  return h(
    "article.message",
    { class: message.role },
    h("header", null, message.role, message.name ? ` ${message.name}` : "", message.tool_call_id ? h("code", null, ` ${message.tool_call_id}`) : null),
    messageParts(message.content, ontext),
    (message.tool_calls ?? []).map(toolCall),
    message.tool_call && !message.tool_calls ? toolCall({ function: message.tool_call }) : null,
  );
}

/** A message that can be changed and removed. */
export function messageEditor(message, { onchange, onremove }) {
  const isText = !Array.isArray(message.content);
  const text = isText ? message.content : message.content.find((part) => part.type === "text")?.text;
  const input = h("textarea", {
    rows: Math.min(12, Math.max(1, (text ?? "").split("\n").length)),
    value: text ?? "",
    dir: "auto",
    "aria-label": `Message of the ${message.role}`,
    oninput: () => {
      if (isText) message.content = input.value;
      else message.content = [{ type: "text", text: input.value }, ...message.content.filter((part) => part.type !== "text")];
      onchange();
    },
  });
  const role = select(ROLES.includes(message.role) ? ROLES : [...ROLES, message.role], message.role, (value) => {
    message.role = value;
    onchange();
  }, { "aria-label": "Role", disabled: Boolean(message.tool_call_id || message.tool_calls) });
  const images = isText ? [] : message.content.filter((part) => part.type !== "text");
  return h(
    "article.message",
    { class: message.role },
    h("header", null, role, message.tool_call_id ? h("span.hint", null, `result of ${message.name ?? "the tool"}`) : null, button("✕", onremove, { class: "quiet small", "aria-label": "Remove message" })),
    input,
    images.length ? h("div.thumbnails", null, messageParts(images)) : null,
    (message.tool_calls ?? []).map(toolCall),
  );
}

/** The field for the next message. Images can be pasted or dropped. */
export class Composer {
  #images = [];

  constructor({ onchange, onrun }) {
    this.onchange = onchange;
    this.thumbnails = h("div.thumbnails");
    this.input = h("textarea", {
      rows: 3,
      dir: "auto",
      placeholder: "Write a message; paste or drop images",
      oninput: onchange,
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) (event.preventDefault(), onrun());
      },
      onpaste: (event) => this.#take(event, event.clipboardData.files),
    });
    this.element = h(
      "div.composer",
      {
        ondragover: (event) => {
          event.preventDefault();
          this.element.classList.add("target");
        },
        ondragleave: () => this.element.classList.remove("target"),
        ondrop: (event) => {
          this.element.classList.remove("target");
          this.#take(event, event.dataTransfer.files);
        },
      },
      field("Your message", this.input),
      this.thumbnails,
    );
  }

  async #take(event, files) {
    const images = [...files].filter((file) => file.type.startsWith("image/"));
    if (!images.length) return;
    event.preventDefault();
    this.#images.push(...(await Promise.all(images.map(dataUrl))));
    this.#show();
  }

  #show() {
    replace(
      this.thumbnails,
      this.#images.map((url, index) =>
        h("figure", null, h("img.thumbnail", { src: url, alt: `Image ${index + 1}` }), button("✕", () => (this.#images.splice(index, 1), this.#show()), { class: "small", "aria-label": `Remove image ${index + 1}` })),
      ),
    );
    this.onchange();
  }

  get isEmpty() {
    return this.input.value.trim() === "" && !this.#images.length;
  }

  get hasImages() {
    return this.#images.length > 0;
  }

  message() {
    const text = this.input.value;
    if (!this.#images.length) return { role: "user", content: text };
    const parts = this.#images.map((url) => ({ type: "image_url", image_url: { url } }));
    return { role: "user", content: text.trim() ? [{ type: "text", text }, ...parts] : parts };
  }

  clear() {
    this.input.value = "";
    this.#images = [];
    this.#show();
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
