// The logs of a project: newest first, with live updates, filters and stable pages.

import { action, badge, button, emptyState, field, h, link, replace, select, toast } from "../dom.js";
import { isTyping } from "../keys.js";
import { configName, count, excerpt, question, seconds, time } from "../format.js";
import { firstLog } from "../snippets.js";
import { addToDataset } from "./datasets.js";

const SIZE = 50;
const POLL = 2000; // milliseconds between two questions for new logs
const MAX_RUNNING = 10; // logs that a poll reads again because they were running

const FILTERS = ["search", "metadata_search", "start_date", "end_date", "source_filter", "model_filter"];

export default async function logs(app, project, query, signal) {
  const list = new LogList(app, project, query, signal);
  await list.load();
  list.watch();
  return list.element;
}

class LogList {
  #records = [];
  #rows = new Map(); // id -> row
  #selected = new Set();
  #current = -1;
  #total = 0;
  #turn = 0;
  #loading = null; // the AbortController of the list that is being loaded
  #since = null; // logs after this time are new to the list
  #isComplete = false; // the oldest log is shown

  constructor(app, project, query, signal) {
    Object.assign(this, { app, project, signal });
    const changed = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#reload(), 250);
    };
    this.controls = {};
    const text = (name, label, props) => {
      this.controls[name] = h("input", { type: "text", value: query.get(name) ?? "", oninput: changed, ...props });
      return field(label, this.controls[name]);
    };
    const types = project.feedback_types.filter((type) => type.values?.length);
    const feedback = types.flatMap((type) => type.values.map((label) => [`${type.type}=${label.value}`, `${type.type}: ${label.value}`]));
    this.feedback = select([["", "any"], ...feedback], query.get("feedback") ?? "", changed);
    this.sort = select([["", "newest first"], ["timestamp.asc", "oldest first"], ["model.asc", "model"], ["source.asc", "source"], ["feedback-rating.desc", "rating"]], query.get("sort") ?? "", changed);
    this.live = h("input", { type: "checkbox", checked: true });
    this.body = h("tbody");
    this.summary = h("p.hint", { role: "status" });
    this.more = action("Load more", () => this.#loadMore(), { hidden: true });
    this.bulk = h("div.actions", { hidden: true });
    this.tableBox = h(
      "div.table-wrap.log-table",
      { tabIndex: 0, role: "region", "aria-label": "Logs" },
      h("table", null, h("caption.hidden-label", null, "Logs"), h("thead", null, h("tr", null, ["", "Input", "Output", "Config", "Feedback", "Tokens", "Time", "Created"].map((name) => h("th", { scope: "col", class: ["Tokens", "Time"].includes(name) && "number" }, name || h("span.hidden-label", null, "Select"))))), this.body),
    );
    this.empty = h("div");
    this.element = h(
      "div",
      null,
      h("div.bar", null, h("div.grow", null, text("search", "Search inputs and outputs", { type: "search" })), text("metadata_search", "Metadata contains"), text("model_filter", "Model"), text("source_filter", "Source"), field("Feedback", this.feedback), text("start_date", "From", { type: "date" }), text("end_date", "To", { type: "date" }), field("Sort", this.sort), h("label.check", null, this.live, "Live")),
      this.summary,
      this.bulk,
      this.tableBox,
      this.empty,
      h("div.bar", null, this.more),
    );
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal });
  }

  #query() {
    const query = { project_id: this.project.id, size: SIZE };
    for (const name of FILTERS) {
      if (this.controls[name].value.trim()) query[name] = this.controls[name].value.trim();
    }
    if (this.sort.value) query.sort = this.sort.value;
    const [type, ...value] = this.feedback.value.split("=");
    if (type) query[`feedback-${type}_filter`] = value.join("=");
    return query;
  }

  get #hasFilters() {
    return Object.keys(this.#query()).length > 2;
  }

  async #reload() {
    const kept = { feedback: this.feedback.value, sort: this.sort.value };
    for (const name of FILTERS) kept[name] = this.controls[name].value;
    this.app.setQuery(Object.fromEntries(Object.entries(kept).filter(([, value]) => value)));
    try {
      await this.load();
    } catch (error) {
      if (error.name !== "AbortError") toast(error.message, "error");
    }
  }

  async load() {
    const turn = ++this.#turn;
    this.#loading?.abort(); // a search reads every log: the server stops the one that nobody waits for
    this.#loading = new AbortController();
    const signal = AbortSignal.any([this.signal, this.#loading.signal]);
    // If no log matches, those after the project's newest one are new: live updates must not repeat the whole search.
    const newest = this.#hasFilters ? await this.app.client.get("/logs", { project_id: this.project.id, size: 1 }, { signal }) : null;
    const result = await this.app.client.get("/logs", { ...this.#query(), page: 0 }, { signal });
    if (turn !== this.#turn) return;
    this.#since = newest?.records[0]?.created_at ?? null;
    this.#records = [];
    this.#rows.clear();
    this.#current = -1;
    replace(this.body);
    this.#total = result.total;
    this.#isComplete = result.records.length < SIZE;
    this.#add(result.records);
    this.#showSummary();
  }

  #add(records, { first = false } = {}) {
    const fresh = records.filter((log) => !this.#rows.has(log.id));
    for (const log of fresh) this.#rows.set(log.id, this.#row(log));
    const rows = fresh.map((log) => this.#rows.get(log.id));
    if (first) {
      this.#records.unshift(...fresh);
      this.body.prepend(...rows);
      for (const row of rows) row.classList.add("fresh");
      if (this.#current >= 0) this.#current += fresh.length;
    } else {
      this.#records.push(...fresh);
      this.body.append(...rows);
    }
    return fresh.length;
  }

  #showSummary() {
    const shown = this.#records.length;
    this.summary.textContent = shown ? `${count(shown)} of ${count(this.#total, "log")}` : "";
    this.more.hidden = this.#isComplete || !shown;
    this.tableBox.hidden = !shown;
    replace(
      this.empty,
      shown
        ? null
        : this.#hasFilters
          ? h("p.hint", null, "No log matches these filters.")
          : emptyState("No logs yet", "Each generation that names this project becomes a log, and appears here at once.", firstLog(this.app.baseUrl, this.project.name), link("Or try it in the playground", `#/playground?project=${encodeURIComponent(this.project.name)}`)),
    );
  }

  #row(log) {
    const href = `#/logs/${encodeURIComponent(log.id)}`;
    const box = h("input", {
      type: "checkbox",
      "aria-label": "Select this log",
      checked: this.#selected.has(log.id),
      onchange: () => {
        if (box.checked) this.#selected.add(log.id);
        else this.#selected.delete(log.id);
        this.#showBulk();
      },
    });
    const state = log.observability_status === "completed" ? null : badge(log.error ? "error" : log.observability_status, log.observability_status === "running" ? "accent" : "bad");
    const text = log.output ?? log.error ?? "";
    const feedback = (log.feedback ?? []).map((item) => badge(excerpt(`${item.type}: ${item.value}`, 30), item.value === "good" ? "good" : item.value === "bad" ? "bad" : ""));
    return h(
      "tr.log-row",
      { onclick: (event) => event.target.closest("a, input") || getSelection().toString() || this.app.go(href.slice(1)) },
      h("td", null, box),
      h("td", null, link(h("span.cut", { dir: "auto" }, excerpt(question(log)) || "–"), href)),
      h("td", null, state, h("span.cut", { dir: "auto" }, excerpt(text) || "–")),
      h("td", null, h("span.cut", null, excerpt(configName(log.config), 24)), h("span.hint", null, log.config?.model ?? "")),
      h("td", null, feedback),
      h("td.number", null, log.tokens ?? "–"),
      h("td.number", null, seconds(log.duration ?? log.provider_latency) ?? "–"),
      h("td", null, time(log.created_at)),
    );
  }

  // Continue after the last log shown. New logs have moved it to a later page, and deletions to an earlier one.
  async #loadMore() {
    const turn = this.#turn;
    const last = this.#records.at(-1).id;
    const read = async (page) => {
      const result = await this.app.client.get("/logs", { ...this.#query(), page }, { signal: this.signal });
      return turn === this.#turn ? result : null;
    };
    const likely = Math.floor((this.#records.length - 1) / SIZE);
    for (const page of [0, 1, 2, 3, -1, -2].map((step) => likely + step).filter((number) => number >= 0)) {
      const result = await read(page);
      if (result === null) return;
      const at = result.records.findIndex((log) => log.id === last);
      if (at < 0) continue;
      this.#total = result.total;
      this.#isComplete = result.records.length < SIZE;
      if (!this.#add(result.records.slice(at + 1)) && result.records.length === SIZE) {
        const next = await read(page + 1);
        if (next === null) return;
        this.#isComplete = next.records.length < SIZE;
        this.#add(next.records);
      }
      return this.#showSummary();
    }
    await this.load(); // so much has changed that the list begins again
  }

  /** Ask for new logs while the page is visible. */
  watch() {
    let delay = POLL;
    const tick = async () => {
      if (this.signal.aborted) return;
      if (!document.hidden && this.live.checked && !this.sort.value) {
        try {
          await this.#poll();
          this.app.connected(true);
          delay = POLL;
        } catch (error) {
          if (this.signal.aborted) return;
          if (error.status === 401) return this.app.signOut();
          this.app.connected(false);
          delay = Math.min(delay * 1.5, 15_000);
        }
      }
      setTimeout(tick, delay);
    };
    setTimeout(tick, delay);
  }

  async #poll() {
    const turn = this.#turn;
    const query = this.#query();
    const since = this.#records[0]?.created_at ?? this.#since;
    if (since && since > (query.start_date ?? "")) query.start_date = since;
    const result = await this.app.client.get("/logs", { ...query, page: 0 }, { signal: this.signal });
    if (turn !== this.#turn) return;
    if (result.total > SIZE) return this.load(); // too many at once to add: show the newest page
    const added = this.#add(result.records, { first: true });
    this.#total += added;
    const running = this.#records.filter((log) => log.observability_status === "running").slice(0, MAX_RUNNING);
    for (const old of running) {
      const log = await this.app.client.get(`/logs/${encodeURIComponent(old.id)}`, undefined, { signal: this.signal });
      if (turn !== this.#turn) return;
      const row = this.#row(log);
      this.#rows.get(log.id).replaceWith(row);
      this.#rows.set(log.id, row);
      this.#records[this.#records.indexOf(old)] = log;
    }
    if (added) this.#showSummary();
  }

  #showBulk() {
    const ids = [...this.#selected];
    this.bulk.hidden = !ids.length;
    replace(
      this.bulk,
      h("strong", null, `${count(ids.length, "log")} selected`),
      action("Add to dataset…", () => addToDataset(this.app, this.project.id, ids)),
      button("Clear", () => {
        this.#selected.clear();
        for (const box of this.body.querySelectorAll("input:checked")) box.checked = false;
        this.#showBulk();
      }, { class: "quiet" }),
    );
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target) && event.target.type !== "checkbox") return;
    const step = { j: 1, k: -1 }[event.key];
    if (step) {
      this.#current = Math.max(0, Math.min(this.#records.length - 1, this.#current + step));
      this.body.querySelector(".current")?.classList.remove("current");
      const row = this.body.rows[this.#current];
      row?.classList.add("current");
      row?.querySelector("a").focus();
    } else if (event.key === "x" && this.#current >= 0) this.body.rows[this.#current]?.querySelector("input").click();
  }
}
