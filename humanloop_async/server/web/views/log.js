// One log in full, with feedback by key press.

import { path } from "../client.js";
import { action, badge, facts, h, jsonDetails, link, replace, select } from "../dom.js";
import { flowed } from "../flow.js";
import { configName, exactTime, excerpt, seconds } from "../format.js";
import { isTyping } from "../keys.js";
import { MarkdownSwitch } from "../markdown.js";
import { messageView } from "../messages.js";
import { toolCall } from "../samples.js";
import { addToDataset } from "./datasets.js";

export default async function log(app, { id }, _query, signal) {
  const record = await app.client.get(path`/logs/${id}`, undefined, { signal });
  const project = await app.client.get(path`/projects/${record.project_id}`, undefined, { signal });
  app.title(`Log in ${project.name}`);
  const model = record.config?.type === "model" ? record.config : record.model_config;
  const reload = async () => {
    const current = await app.client.get(path`/logs/${id}`, undefined, { signal });
    feedback.show(current.feedback ?? []);
  };
  const feedback = new Feedback(app, project, record, reload, signal);
  const calls = record.output_message?.tool_calls ?? [];
  const inputs = Object.entries(record.inputs ?? {});
  const status = record.observability_status;
  const markdown = new MarkdownSwitch("log");
  const output = flowed(h("div.text"), record.output ?? "");
  const view = h(
    "div",
    null,
    h("p.crumbs", null, link("Projects", "#/projects"), " / ", link(project.name, `#${path`/projects/${project.id}`}/logs`)),
    h(
      "div.page-head",
      null,
      h("h1", { tabIndex: -1 }, "Log"),
      badge(status, status === "completed" ? "good" : status === "running" ? "accent" : "bad"),
      record.finish_reason ? badge(record.finish_reason) : null,
      h("div.actions", null, markdown.element, link("Open in playground", `#/playground?log=${encodeURIComponent(id)}`, { class: "button" }), action("Add to dataset…", () => addToDataset(app, project.id, [id]))),
    ),
    h(
      "div.two",
      null,
      h(
        "div.sections",
        null,
        inputs.length ? h("section.card", null, h("h2", null, "Inputs"), facts(inputs.map(([name, value]) => [name, h("span.text", { dir: "auto" }, typeof value === "string" ? value : JSON.stringify(value))]))) : null,
        record.messages?.length ? h("section.messages", { "aria-label": "Messages" }, record.messages.map((message) => messageView(message, (element, text) => markdown.add(element, text)))) : null,
        record.reasoning ? h("details.reasoning.card", null, h("summary", null, "Reasoning"), flowed(h("div.text"), record.reasoning)) : null,
        h("section.card", { "aria-label": "Output" }, h("h2", null, "Output"), output, calls.map(toolCall), record.error ? h("p.problem", null, record.error) : null, record.save === false ? h("p.hint", null, "This log was made with save=False.") : null),
        h("section.card", null, h("h2", null, "Details"), jsonDetails("Provider request", record.provider_request), jsonDetails("Provider response", record.provider_response), jsonDetails("Config", record.config), jsonDetails("Metadata", record.metadata), jsonDetails("The whole log", record)),
      ),
      h(
        "aside",
        null,
        feedback.element,
        h(
          "section.card",
          null,
          h("h2", null, "Facts"),
          facts([
            ["Created", exactTime(record.created_at)],
            ["Config", record.config ? excerpt(configName(record.config), 60) : null],
            ["Model", model ? `${model.model} (${model.provider})` : null],
            ["Environment", record.environment],
            ["Source", record.source],
            ["User", record.user],
            ["Prompt tokens", record.prompt_tokens],
            ["Output tokens", record.output_tokens],
            ["Duration", seconds(record.duration)],
            ["Provider latency", seconds(record.provider_latency)],
            ["Session", record.session_id ? link(record.session_reference_id ?? record.session_id, `#${path`/sessions/${record.session_id}`}`) : null],
            ["Parent", record.parent_id ? link(record.parent_id, `#${path`/logs/${record.parent_id}`}`) : null],
            ["Reference", record.reference_id],
            ["Request", record.request_id],
            ["Id", record.id],
          ]),
        ),
      ),
    ),
  );
  markdown.add(output, record.output);
  return view;
}

class Feedback {
  constructor(app, project, record, reload, signal) {
    Object.assign(this, { app, record, reload });
    const types = project.feedback_types;
    const labels = types.flatMap((type) => (type.values ?? []).map((label) => [type.type, label.value]));
    this.buttons = labels.slice(0, 9).map(([type, value], index) =>
      action([h("kbd", null, index + 1), `${type}: ${value}`], () => this.#toggle(type, value), { "aria-pressed": "false", "data-key": `${type}=${value}` }),
    );
    this.rest = h("div.sections");
    this.element = h("section.card", { "aria-label": "Feedback" }, h("h2", null, "Feedback"), h("div.feedback-keys", null, this.buttons), this.rest, this.#form(types));
    this.show(record.feedback ?? []);
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (/^[1-9]$/.test(event.key)) this.buttons[Number(event.key) - 1]?.click();
    }, { signal });
  }

  /** A form for values that have no button: texts, numbers, and further labels. */
  #form(types) {
    let input;
    const box = h("div");
    const type = select(types.map(({ type }) => type), "comment", (name) => show(name), { "aria-label": "Type of feedback" });
    const show = (name) => {
      const { class: kind, values } = types.find((one) => one.type === name);
      const label = { "aria-label": "Value", required: true };
      if (kind === "number") input = h("input", { type: "number", step: "any", inputmode: "decimal", ...label });
      else if (kind === "text") input = h("textarea", { rows: 2, dir: "auto", ...label });
      else input = h("input", { type: "text", dir: "auto", list: "feedback-labels", placeholder: "label", ...label });
      replace(box, input, h("datalist", { id: "feedback-labels" }, (values ?? []).map(({ value }) => h("option", { value }))));
    };
    show(type.value);
    const add = action("Add", async () => {
      if (!form.reportValidity()) return;
      await this.#send({ type: type.value, value: input.type === "number" ? input.valueAsNumber : input.value.trim() });
      input.value = "";
    }, { class: "small" });
    const form = h("form.sections", { onsubmit: (event) => (event.preventDefault(), add.click()) }, type, box, h("div.actions", null, add));
    return h("details", null, h("summary", null, "Other feedback"), form);
  }

  show(feedback) {
    const given = new Set(feedback.map((item) => `${item.type}=${item.value}`));
    for (const item of this.buttons) item.setAttribute("aria-pressed", String(given.has(item.dataset.key)));
    const others = feedback.filter((item) => !this.buttons.some((one) => one.dataset.key === `${item.type}=${item.value}`));
    replace(this.rest, facts(others.map((item) => [item.type, h("span.text", { dir: "auto" }, `${item.value}${item.user ? ` (${item.user})` : ""}`)])));
  }

  async #toggle(type, value) {
    const button = this.buttons.find((one) => one.dataset.key === `${type}=${value}`);
    const unset = button.getAttribute("aria-pressed") === "true";
    await this.#send({ type, value, ...(unset ? { unset: true } : {}) });
  }

  async #send(feedback) {
    await this.app.client.post("/feedback", { ...feedback, data_id: this.record.id });
    await this.reload();
  }
}
