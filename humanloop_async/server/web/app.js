// The frame of the page: the API key, the routes, and the views, each of which is loaded when it is first shown.

import { ApiError, Client, ConnectionError } from "./client.js";
import { announce, append, button, dialog, h, link, replace, select } from "./dom.js";
import { isTyping } from "./keys.js";

const KEY = "humanloop-api-key";
const THEME = "humanloop-theme";
const ROOT = new URL("./", location.href.split("#")[0]);

const ROUTES = [
  [/^\/playground$/, () => import("./views/playground.js")],
  [/^\/projects$/, () => import("./views/projects.js")],
  [/^\/projects\/(?<id>[^/]+)(?:\/(?<tab>[a-z]+))?$/, () => import("./views/project.js")],
  [/^\/logs\/(?<id>[^/]+)$/, () => import("./views/log.js")],
  [/^\/sessions\/(?<id>[^/]+)$/, () => import("./views/session.js")],
  [/^\/datasets\/(?<id>[^/]+)$/, () => import("./views/dataset.js")],
  [/^\/evaluations\/(?<id>[^/]+)$/, () => import("./views/evaluation.js")],
];

const main = h("main", { id: "main" });
const connection = h("span.connection", { role: "status" });
let view = null; // the AbortController of the view that is shown
let shown = null; // its hash

/** The parts of the page that a view uses. */
const app = {
  client: null,
  baseUrl: new URL("v4", ROOT).href,
  root: ROOT.href,

  /** Go to another view. With `replace`, the back button does not return to this one. */
  go(hash, { replace: replacing = false } = {}) {
    if (replacing) location.replace(`#${hash}`);
    else location.hash = hash;
  },

  /** Change the query of the address without leaving the view. */
  setQuery(query) {
    const search = new URLSearchParams(query).toString();
    const [route] = location.hash.slice(1).split("?");
    history.replaceState(null, "", `#${route}${search ? `?${search}` : ""}`);
    shown = location.hash;
  },

  /** The providers of the server. This extends v4. */
  providers(signal) {
    return this.client.request("GET", "/../page/providers", { signal });
  },

  title(text) {
    document.title = `${text} · humanloop_async`;
  },

  /** Show whether the server can be reached; null hides it. */
  connected(isConnected) {
    connection.className = `connection ${isConnected === false ? "lost" : ""}`;
    connection.textContent = isConnected === false ? "Server unreachable, retrying" : "";
  },

  signOut,
};

/** Return the fragment's key, if there is one, and remove it from the address and the history. */
function takeKeyFromAddress() {
  const match = /^#key=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(KEY, decodeURIComponent(match[1]));
  history.replaceState(null, "", `#${match[2] ?? "/playground"}`);
}

function signOut() {
  sessionStorage.removeItem(KEY);
  app.client = null;
  showSignIn();
}

function showSignIn(message) {
  view?.abort();
  view = null;
  shown = null;
  app.title("Sign in");
  const input = h("input", { type: "password", id: "api-key", autocomplete: "off", spellcheck: "false", required: true });
  const error = h("p.error-text", { role: "alert" }, message ?? "");
  replace(
    main,
    h(
      "form.sign-in.card",
      {
        onsubmit: async (event) => {
          event.preventDefault();
          const client = new Client(app.baseUrl, input.value.trim());
          try {
            await client.get("/projects", { size: 1 });
          } catch (problem) {
            error.textContent = problem.status === 401 ? "This server does not accept the key." : problem.message;
            return;
          }
          sessionStorage.setItem(KEY, client.apiKey);
          start();
        },
      },
      h("h1", { tabIndex: -1 }, "API key"),
      h("p", null, "The server printed a key at its first start. Create another one with ", h("code", null, "humanloop-async keys create"), "."),
      h("label", { for: "api-key" }, "Key of this server"),
      input,
      error,
      h("button.primary", { type: "submit" }, "Continue"),
      h("p.hint", null, "The key stays in this tab until you close it, and is sent only to this server."),
    ),
  );
  document.body.classList.add("signed-out");
  input.focus();
}

async function render() {
  takeKeyFromAddress();
  const key = sessionStorage.getItem(KEY);
  if (!key) return showSignIn();
  if (app.client?.apiKey !== key) app.client = new Client(app.baseUrl, key);
  document.body.classList.remove("signed-out");
  const hash = location.hash.slice(1) || "/playground";
  const [route, search] = hash.split("?");
  if (location.hash === shown && view) return;
  shown = location.hash;
  view?.abort();
  const controller = (view = new AbortController());
  app.connected(null);
  markNavigation(route);
  for (const [pattern, load] of ROUTES) {
    const match = pattern.exec(route);
    if (!match) continue;
    const params = Object.fromEntries(Object.entries(match.groups ?? {}).map(([name, value]) => [name, value && safeDecode(value)]));
    try {
      main.setAttribute("aria-busy", "true");
      const module = await load();
      if (controller.signal.aborted) return;
      const element = await module.default(app, params, new URLSearchParams(search), controller.signal);
      if (controller.signal.aborted) return;
      replace(main, element);
      focusHeading();
    } catch (error) {
      if (controller.signal.aborted || error.name === "AbortError") return;
      showError(error);
    } finally {
      if (view === controller) main.removeAttribute("aria-busy");
    }
    return;
  }
  app.title("Not found");
  replace(main, h("div.empty", null, h("h1", { tabIndex: -1 }, "There is no such page"), link("Go to the playground", "#/playground")));
  focusHeading();
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function focusHeading() {
  window.scrollTo(0, 0);
  if (document.activeElement && document.activeElement !== document.body && main.contains(document.activeElement)) return;
  main.querySelector("h1")?.focus({ preventScroll: true });
  announce(document.title);
}

function showError(error) {
  if (error instanceof ApiError && error.status === 401) {
    sessionStorage.removeItem(KEY);
    return showSignIn("This server does not accept the key.");
  }
  app.title("Error");
  const title =
    error instanceof ConnectionError ? "The server cannot be reached" : error.status === 404 ? "Not found" : "Something went wrong";
  replace(
    main,
    h(
      "div.empty",
      { role: "alert" },
      h("h1", { tabIndex: -1 }, title),
      h("p", null, error.message),
      h("div.actions", null, button("Try again", () => ((shown = null), render()), { class: "primary" }), link("Projects", "#/projects")),
    ),
  );
  focusHeading();
}

function markNavigation(route) {
  for (const item of document.querySelectorAll("nav.main a")) {
    const current = item.hash === "#/projects" ? !route.startsWith("/playground") : route.startsWith(item.hash.slice(1));
    if (current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME, theme);
}

const SHORTCUTS = [
  ["g p", "Playground"],
  ["g r", "Projects"],
  ["Ctrl+Enter", "Run, in the playground"],
  ["Esc", "Stop, in the playground"],
  ["j, k", "Next or previous log, in a list and in one log"],
  ["Enter", "Open the log"],
  ["x", "Select the log, in a list"],
  ["1 to 9", "Give the feedback or the judgment with that number"],
  ["s", "Skip the log, when judging"],
  ["/", "Search"],
  ["?", "This list"],
];

let pressed = "";

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const both = pressed + event.key;
  pressed = event.key === "g" ? "g" : "";
  if (both === "gp") app.go("/playground");
  else if (both === "gr") app.go("/projects");
  else if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) (event.preventDefault(), search.focus());
  } else if (event.key === "?") {
    dialog("Keyboard", [h("dl.shortcuts", null, SHORTCUTS.map(([keys, text]) => h("div", null, h("dt", null, h("kbd", null, keys)), h("dd", null, text))))], null);
  }
}

function start() {
  shown = null;
  view = null;
  render();
}

function build() {
  const theme = localStorage.getItem(THEME) ?? "auto";
  setTheme(theme);
  append(document.body, [
    h("a.skip", { href: "#main", onclick: (event) => (event.preventDefault(), main.querySelector("h1")?.focus()) }, "Skip to content"),
    h(
      "header.top",
      null,
      link([h("span.logo", { "aria-hidden": "true" }), "humanloop_async"], "#/playground", { class: "brand" }),
      h("nav.main", { "aria-label": "Main" }, link("Playground", "#/playground"), link("Projects", "#/projects")),
      connection,
      h(
        "div.tools",
        null,
        button("?", () => onKey(new KeyboardEvent("keydown", { key: "?" })), { class: "quiet", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts" }),
        select([["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]], theme, setTheme, { "aria-label": "Colours" }),
        button("Sign out", signOut, { class: "quiet only-signed-in" }),
      ),
    ),
    main,
    h("div", { id: "toasts" }),
    h("div.hidden-label", { id: "announcements", role: "status", "aria-live": "polite" }),
  ]);
  addEventListener("hashchange", render);
  document.addEventListener("keydown", onKey);
  render();
}

build();
