// Human judgments: a control for each return type of an evaluator, and one log after the other.

import { path } from "../client.js";
import { action, announce, badge, button, facts, h, link, replace } from "../dom.js";
import { flowed } from "../flow.js";
import { isTyping } from "../keys.js";
import { messageView } from "../messages.js";
import { toolCall } from "../samples.js";

const SIZE = 50;

/** Whether a human still has to give an evaluator's judgment on a datapoint's log. */
export function isOpen(record, evaluator) {
  return evaluator.type === "human" && Boolean(record.log) && !record.evaluation_results.some((one) => one.evaluator_id === evaluator.id);
}

/** Store a judgment, and add it to the record. */
export async function judge(app, evaluationId, record, evaluator, value) {
  const result = await app.client.post(path`/evaluations/${evaluationId}/result`, { log_id: record.log.id, evaluator_id: evaluator.id, result: value });
  record.evaluation_results.push(result);
}

/** A control for a judgment of an evaluator; `give` stores it. */
export function judgmentControl(evaluator, give) {
  const label = `Judgment: ${evaluator.name}`;
  const names = (evaluator.options ?? []).map((option) => option?.name).filter((name) => typeof name === "string");
  const choices = (values) => h("div.actions", { role: "group", "aria-label": label }, values.map(([value, text]) => action(text, () => give(value), { class: "small choice" })));
  switch (evaluator.return_type) {
    case "boolean":
      return choices([[true, "Yes"], [false, "No"]]);
    case "number":
      return entry(h("input", { type: "number", step: "any", inputmode: "decimal" }), label, (input) => give(input.valueAsNumber));
    case "select":
      if (names.length) return choices(names.map((name) => [name, name]));
      return entry(h("input", { type: "text", dir: "auto" }), label, (input) => give(input.value.trim()));
    case "multi_select": {
      const list = (input) => input.value.split(",").map((name) => name.trim()).filter(Boolean);
      if (!names.length) return entry(h("input", { type: "text", dir: "auto", placeholder: "comma separated" }), label, (input) => give(list(input)));
      const boxes = names.map((name) => h("input", { type: "checkbox", value: name }));
      const save = action("Save", () => give(boxes.filter((box) => box.checked).map((box) => box.value)), { class: "small" });
      return h("div.actions", { role: "group", "aria-label": label }, boxes.map((box) => h("label.check", null, box, box.value)), save);
    }
    default:
      return entry(h("textarea", { rows: 2, dir: "auto" }), label, (input) => give(input.value.trim()));
  }
}

function entry(input, label, give) {
  input.required = true;
  input.setAttribute("aria-label", label);
  const form = h("form.actions", { onsubmit: (event) => (event.preventDefault(), save.click()) }, input);
  const save = action("Save", async () => {
    if (form.reportValidity()) await give(input);
  }, { class: "small" });
  form.append(save);
  return form;
}

/** The logs of an evaluation that lack judgments, one at a time. */
export class Judging {
  #page = 0;
  #records = []; // of the page, with those that are judged
  #total = 0;
  #skipped = new Set();
  #record = null;

  /**
   * @param {object} app
   * @param {object} evaluation
   * @param {() => Promise<void>} onjudged Called after each judgment.
   * @param {AbortSignal} signal
   */
  constructor(app, evaluation, onjudged, signal) {
    Object.assign(this, { app, evaluation, onjudged, signal });
    this.element = h("section.card.sections", { "aria-label": "Judging" });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (/^[1-9]$/.test(event.key)) this.element.querySelectorAll(".choice")[Number(event.key) - 1]?.click();
      else if (event.key === "s") this.element.querySelector(".skip")?.click();
    }, { signal });
  }

  /** Show the next log to judge. */
  async next() {
    const isWanted = (record) => !this.#skipped.has(record.datapoint.id) && this.evaluation.evaluators.some((evaluator) => isOpen(record, evaluator));
    this.#record = this.#records.find(isWanted) ?? null;
    while (this.#record === null && (this.#page === 0 || this.#page * SIZE < this.#total)) {
      this.#page += 1;
      const result = await this.app.client.get(path`/evaluations/${this.evaluation.id}/datapoints`, { page: this.#page, size: SIZE }, { signal: this.signal });
      this.#records = result.records;
      this.#total = result.total;
      this.#record = this.#records.find(isWanted) ?? null;
    }
    if (this.#record) this.#show(this.#record);
    else this.#showEnd();
  }

  #showEnd() {
    const skipped = this.#skipped.size;
    const again = action("Look again", () => {
      this.#page = 0;
      this.#records = [];
      this.#skipped.clear();
      return this.next();
    });
    replace(this.element, h("p", { role: "status" }, skipped ? `No other log is left to judge; you skipped ${skipped}.` : "No log is left to judge."), h("div.actions", null, again));
  }

  #show(record) {
    const { log, datapoint } = record;
    const place = (this.#page - 1) * SIZE + this.#records.indexOf(record) + 1;
    const skip = button("Skip", () => {
      this.#skipped.add(datapoint.id);
      this.#run();
    }, { class: "small skip", title: "s" });
    const inputs = Object.entries(log.inputs ?? datapoint.inputs ?? {});
    replace(
      this.element,
      h("div.page-head", null, h("h2", { tabIndex: -1 }, `Datapoint ${place} of ${this.#total}`), h("div.actions", null, link("Open log", `#${path`/logs/${log.id}`}`, { class: "button small" }), skip)),
      inputs.length ? facts(inputs.map(([name, value]) => [name, h("span.text", { dir: "auto" }, asText(value))])) : null,
      log.messages?.length ? h("div.messages", null, log.messages.map((message) => messageView(message))) : null,
      datapoint.target ? facts([["Target", h("span.text", { dir: "auto" }, asText(datapoint.target))]]) : null,
      h("section", { "aria-label": "Output" }, h("h3", null, "Output"), flowed(h("div.text"), log.output ?? ""), (log.output_message?.tool_calls ?? []).map(toolCall), log.error ? h("p.problem", null, log.error) : null),
      this.evaluation.evaluators.filter((evaluator) => evaluator.type === "human").map((evaluator) => this.#question(record, evaluator)),
    );
    this.element.querySelectorAll(".choice").forEach((choice, index) => index < 9 && choice.prepend(h("kbd", null, index + 1)));
    const writes = this.element.querySelector("form input, form textarea");
    (writes && !this.element.querySelector(".choice") ? writes : this.element.querySelector("h2")).focus({ preventScroll: true });
    announce(`Datapoint ${place} of ${this.#total}`);
  }

  #question(record, evaluator) {
    const title = h("div", null, h("h3", null, evaluator.name), evaluator.description ? h("p.hint", null, evaluator.description) : null);
    if (!isOpen(record, evaluator)) {
      const result = record.evaluation_results.find((one) => one.evaluator_id === evaluator.id);
      return h("section", null, title, badge(asText(result.value ?? result.error)));
    }
    const give = async (value) => {
      await judge(this.app, this.evaluation.id, record, evaluator, value);
      await Promise.all([this.next(), this.onjudged()]);
    };
    return h("section", null, title, judgmentControl(evaluator, give));
  }

  #run() {
    this.next().catch((error) => replace(this.element, h("p.problem", { role: "alert" }, error.message)));
  }
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
