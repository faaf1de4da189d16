// Elements, and the small parts that several views share. Text is always inserted as text: nothing here parses HTML.

/**
 * Create an element.
 *
 * @param {string} tag Name, with classes: `h("div.card.wide")`.
 * @param {object} [props] `onclick` and other functions are listeners; `value`, `checked` and the like are properties;
 *     `true` is an empty attribute, and null, undefined or false is none.
 * @param {...(Node|string|number|Array|null|false)} children
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) element[key] = value;
    else if (key === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else element.setAttribute(key, value === true ? "" : value);
  }
  append(element, children);
  // The value of a select can only be set once it has options.
  if (name === "select" && props?.value !== undefined) element.value = props.value;
  return element;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "open", "selected", "hidden", "tabIndex"]);

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

let lastId = 0;

export function newId(prefix = "id") {
  return `${prefix}-${++lastId}`;
}

/** A label above a control. */
export function field(label, control, hint) {
  control.id ||= newId("field");
  const note = hint ? h("span.hint", { id: `${control.id}-hint` }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div.field", null, h("label", { for: control.id }, label), control, note);
}

export function button(label, onclick, props) {
  return h("button", { type: "button", onclick, ...props }, label);
}

/** A button that is disabled until its action has ended; an error is shown as a message. */
export function action(label, run, props) {
  const element = button(label, async () => {
    const hadFocus = document.activeElement === element; // which a disabled button loses
    element.disabled = true;
    element.setAttribute("aria-busy", "true");
    try {
      await run(element);
    } catch (error) {
      if (error.name !== "AbortError") toast(error.message, "error");
    } finally {
      element.disabled = false;
      element.removeAttribute("aria-busy");
      if (hadFocus && document.activeElement === document.body) element.focus();
    }
  }, props);
  return element;
}

export function link(label, href, props) {
  return h("a", { href, ...props }, label);
}

/** A choice of a few values, as radio buttons. */
export function segmented(legend, options, value, onchange) {
  const name = newId("choice");
  return h(
    "fieldset.segmented",
    null,
    h("legend.hidden-label", null, legend),
    options.map(([option, label]) =>
      h(
        "label",
        null,
        h("input", { type: "radio", name, value: option, checked: option === value, onchange: () => onchange(option) }),
        h("span", null, label),
      ),
    ),
  );
}

export function select(options, value, onchange, props) {
  return h(
    "select",
    { value, onchange: (event) => onchange?.(event.target.value), ...props },
    options.map((option) => {
      const [key, label, more] = Array.isArray(option) ? option : [option, option];
      return h("option", { value: key, ...more }, label);
    }),
  );
}

/** A short message at the edge of the page, which screen readers read out. */
export function toast(text, kind = "info") {
  const region = document.querySelector("#toasts");
  const close = () => item.remove();
  const item = h("div.toast", { class: kind, role: kind === "error" ? "alert" : "status" }, h("span", null, text), button("✕", close, { "aria-label": "Dismiss" }));
  region.append(item);
  while (region.children.length > 4) region.firstElementChild.remove();
  setTimeout(close, kind === "error" ? 12_000 : 5_000);
}

/** Read out a text to screen readers, without showing it. */
export function announce(text) {
  const region = document.querySelector("#announcements");
  if (region) region.textContent = text;
}

/**
 * Show a dialog with a form, and wait for its end.
 *
 * @param {string} title
 * @param {(Node|string)[]} content
 * @param {string|null} submit Label of the button that confirms; null for a dialog that only closes.
 * @param {() => Promise<void>|void} [run] Runs before the dialog closes; its error is shown in the dialog.
 * @returns {Promise<boolean>} Whether the dialog was confirmed.
 */
export function dialog(title, content, submit, run) {
  return new Promise((resolve) => {
    const id = newId("dialog");
    const error = h("p.error-text", { role: "alert" });
    let confirmed = false;
    const ok = submit ? h("button.primary", { type: "submit" }, submit) : null;
    const form = h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          if (ok) ok.disabled = true;
          error.textContent = "";
          try {
            await run?.();
            confirmed = true;
            element.close();
          } catch (problem) {
            error.textContent = problem.message;
          } finally {
            if (ok) ok.disabled = false;
          }
        },
      },
      h("h2", { id }, title),
      h("div.dialog-body", null, content),
      error,
      h("div.actions", null, button(submit ? "Cancel" : "Close", () => element.close()), ok),
    );
    const element = h("dialog", { "aria-labelledby": id, onclose: () => (element.remove(), resolve(confirmed)) }, form);
    document.body.append(element);
    element.showModal();
  });
}

export async function copyText(text) {
  await navigator.clipboard.writeText(text);
  toast("Copied");
}

/** A block of code with a button that copies it. */
export function code(text, label = "Code") {
  return h(
    "div.code",
    null,
    h("pre", { tabIndex: 0, "aria-label": label, role: "region" }, h("code", null, text)),
    action("Copy", () => copyText(text), { class: "small" }),
  );
}

/** What to do in a place where nothing is yet. */
export function emptyState(title, text, snippet, ...more) {
  return h("div.empty", null, h("h2", null, title), h("p", null, text), snippet ? code(snippet, "Example") : null, more);
}

/** A table. The heading of a column of numbers is aligned like the numbers. */
export function table(caption, columns, rows) {
  const first = rows[0]?.children ?? [];
  return h(
    "div.table-wrap",
    { tabIndex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      null,
      h("caption.hidden-label", null, caption),
      h("thead", null, h("tr", null, columns.map((column, index) => h("th", { scope: "col", class: first[index]?.matches(".number") && "number" }, column)))),
      h("tbody", null, rows),
    ),
  );
}

export function badge(text, kind = "") {
  return h("span.badge", { class: kind }, text);
}

/** Names and values, as a definition list; values of null are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl.facts", null, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** Any JSON value, in full but closed; built when it is opened, because it can be large. */
export function jsonDetails(summary, value) {
  if (value === null || value === undefined) return null;
  const details = h("details.json", {
    ontoggle: () => {
      if (details.open && details.children.length === 1) details.append(code(JSON.stringify(value, null, 2), summary));
    },
  }, h("summary", null, summary));
  return details;
}
