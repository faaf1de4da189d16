// The playground: one input, N samples side by side, from one configuration or from two that are compared.

import { path, randomId, Samples } from "../client.js";
import { ConfigForm, FormError, withoutNulls } from "../config-form.js";
import { action, announce, badge, button, code, dialog, field, h, replace, segmented, select, toast } from "../dom.js";
import { compact, configName, count } from "../format.js";
import { MarkdownSwitch } from "../markdown.js";
import { Composer, messageEditor } from "../messages.js";
import { copyButton, logLink, SampleCard } from "../samples.js";
import { pythonCall } from "../snippets.js";

const DRAFT = "humanloop-playground";
const MAX_SAMPLES = 16;

export default async function playground(app, _params, query, signal) {
  app.title("Playground");
  const providers = await app.providers(signal);
  const view = new Playground(app, providers, signal);
  await view.restore(query);
  return view.element;
}

class Playground {
  #app;
  #signal;
  #providers;
  #endpoint = "chat";
  #messages = []; // before the composer's one
  #forms = [];
  #isComparing = false;
  #isBlind = true;
  #running = null; // the AbortController of the calls that run
  #session = null;
  #score = [0, 0];
  #deployed = null;

  constructor(app, providers, signal) {
    this.#app = app;
    this.#signal = signal;
    this.#providers = providers;
    const changed = () => this.#changed();
    this.project = h("input", { type: "text", list: "project-names", autocomplete: "off", placeholder: "none: nothing is logged", oninput: changed });
    this.projectNames = h("datalist", { id: "project-names" });
    this.samples = h("input", { type: "number", min: 1, max: MAX_SAMPLES, step: 1, value: 2, oninput: changed });
    this.toolChoice = select([["", "auto"], ["none", "none"], ["required", "required"]], "", changed);
    this.inputs = h("div.inputs");
    this.conversation = h("div.conversation");
    this.composer = new Composer({ onchange: changed, onrun: () => this.run() });
    this.results = h("div.results", { "aria-live": "off" });
    this.markdown = new MarkdownSwitch("playground");
    this.status = h("p.run-status", { role: "status" });
    this.problem = h("p.error-text", { role: "alert" });
    this.runButton = button(["Run ", h("kbd", null, "Ctrl ⏎")], () => this.run(), { class: "primary" });
    this.stopButton = button("Stop", () => this.stop(), { hidden: true, class: "danger" });
    this.configs = h("div.configs");
    this.compareToggle = h("input", { type: "checkbox", onchange: () => this.#compare(this.compareToggle.checked) });
    this.blindToggle = h("input", { type: "checkbox", checked: true, onchange: () => ((this.#isBlind = this.blindToggle.checked), changed()) });
    this.blindLabel = h("label.check", { hidden: true }, this.blindToggle, "Blind: hide which is which until you choose");
    this.mode = h("div");
    this.addMessage = button("Add a message", () => this.#addMessage(), { class: "small" });
    this.newButton = button("New conversation", () => this.#reset(), { class: "small", hidden: true });
    this.#forms = [new ConfigForm(providers, "chat", changed)];
    this.element = h(
      "div.playground",
      null,
      h("h1.hidden-label", { tabIndex: -1 }, "Playground"),
      h(
        "section.setup",
        { "aria-label": "Configuration" },
        this.mode,
        this.configs,
        h("label.check", null, this.compareToggle, "Compare two configurations"),
        this.blindLabel,
        h("div.pair", null, field("Samples", this.samples), field("Tool choice", this.toolChoice)),
        field("Log to project", this.project),
        this.projectNames,
        h("div.actions", null, action("Save as a config…", () => this.#save()), action("Show as code", () => this.#showCode())),
      ),
      h(
        "section.stage",
        { "aria-label": "Conversation" },
        this.conversation,
        h("div.actions", null, this.addMessage, this.newButton),
        this.inputs,
        this.composer.element,
        h("div.actions.run", null, this.runButton, this.stopButton, this.markdown.element, this.status),
        this.problem,
        this.results,
      ),
    );
    this.#showMode();
    this.#showConfigs();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#running && !document.querySelector("dialog[open]")) this.stop();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented && this.element.isConnected) this.run();
    }, { signal });
    signal.addEventListener("abort", () => this.stop());
    app.client.get("/projects", { size: 100, sort_by: "updated_at" }, { signal }).then(
      ({ records }) => replace(this.projectNames, records.map((project) => h("option", { value: project.name }))),
      () => {},
    );
  }

  // ---------------------------------------------------------------- state

  /** Show a log or configurations that the address names, or else the draft of this tab. */
  async restore(query) {
    const get = (url) => this.#app.client.get(url, undefined, { signal: this.#signal });
    if (query.get("log")) return this.#loadLog(await get(path`/logs/${query.get("log")}`));
    const draft = readDraft();
    if (draft) this.#loadDraft(draft);
    const project = query.get("project");
    if (project) this.project.value = project;
    if (query.get("config")) {
      const configs = [query.get("config"), query.get("compare")].filter(Boolean);
      const loaded = await Promise.all(configs.map((id) => get(path`/model-configs/${id}`)));
      this.#setEndpoint(loaded[0].endpoint === "complete" ? "complete" : "chat");
      if (loaded.length > 1) this.#compare(true);
      loaded.forEach((config, index) => this.#forms[index].load(config));
    }
    this.#changed();
  }

  #loadLog(log) {
    const config = log.model_config ?? (log.config?.type === "model" ? log.config : null);
    // Before the configuration, whose template creates the fields.
    this.#inputValues = Object.fromEntries(
      Object.entries(log.inputs ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
    );
    const isChat = Boolean(log.messages) || config?.endpoint === "chat";
    this.#setEndpoint(isChat ? "chat" : "complete");
    if (config) this.#forms[0].load(config);
    this.project.value = log.project ?? "";
    // The log's messages include the rendered template, which the configuration adds again.
    const messages = (log.messages ?? []).slice(config?.chat_template?.length ?? 0).map(withoutNulls);
    const last = messages.at(-1);
    if (last?.role === "user" && typeof last.content === "string") {
      messages.pop();
      this.composer.input.value = last.content;
    }
    this.#messages = messages;
    this.#showMessages();
    this.#changed();
  }

  #loadDraft(draft) {
    try {
      this.#inputValues = draft.inputs;
      this.#setEndpoint(draft.endpoint);
      if (draft.configs.length > 1) this.#compare(true);
      draft.configs.forEach((config, index) => this.#forms[index].load(config));
      this.#messages = draft.messages;
      this.composer.input.value = draft.text;
      this.project.value = draft.project;
      this.samples.value = draft.samples;
      this.#showMessages();
    } catch {
      sessionStorage.removeItem(DRAFT); // of another version of the page
    }
  }

  #inputValues = {};
  #shownInputs = "";

  #changed() {
    this.#showInputs();
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.#saveDraft(), 300);
  }

  #saveDraft() {
    try {
      const draft = {
        endpoint: this.#endpoint,
        configs: this.#forms.map((form) => form.value()),
        messages: this.#messages,
        inputs: this.#inputValues,
        text: this.composer.input.value,
        project: this.project.value,
        samples: this.samples.value,
      };
      sessionStorage.setItem(DRAFT, JSON.stringify(draft));
    } catch {
      // A form that is being edited, or images beyond the browser's quota: the last draft stays.
    }
  }

  // ---------------------------------------------------------------- parts

  #setEndpoint(endpoint) {
    this.#endpoint = endpoint;
    for (const form of this.#forms) form.setEndpoint(endpoint);
    this.#showMode();
    this.#changed();
  }

  #showMode() {
    const isChat = this.#endpoint === "chat";
    replace(this.mode, segmented("Mode", [["chat", "Chat"], ["complete", "Completion"]], this.#endpoint, (value) => this.#setEndpoint(value)));
    this.conversation.hidden = this.composer.element.hidden = this.addMessage.hidden = !isChat;
    this.toolChoice.closest(".field").hidden = !isChat;
  }

  #compare(isComparing) {
    this.#isComparing = this.compareToggle.checked = isComparing;
    this.blindLabel.hidden = !isComparing;
    this.#score = [0, 0];
    if (isComparing && this.#forms.length === 1) {
      const second = new ConfigForm(this.#providers, this.#endpoint, () => this.#changed());
      try {
        second.load(this.#forms[0].value());
      } catch {
        // The first form is not complete yet.
      }
      this.#forms.push(second);
    } else if (!isComparing) this.#forms.length = 1;
    this.#showConfigs();
    this.#changed();
  }

  #showConfigs() {
    replace(
      this.configs,
      this.#isComparing
        ? this.#forms.map((form, index) => h("fieldset.card", null, h("legend", null, `Config ${"AB"[index]}`), form.element))
        : this.#forms[0].element,
    );
  }

  #showInputs() {
    const names = [...new Set(this.#forms.flatMap((form) => form.inputNames))];
    const hint = this.#forms.some((form) => form.isJinja) ? "A text, true, false, null, or a list or an object as JSON" : null;
    const shown = `${names} ${hint}`;
    if (shown === this.#shownInputs) return;
    this.#shownInputs = shown;
    replace(
      this.inputs,
      names.map((name) => {
        const control = h("textarea", {
          rows: 1,
          name,
          dir: "auto",
          value: this.#inputValues[name] ?? "",
          oninput: () => {
            this.#inputValues[name] = control.value;
            this.#changed();
          },
        });
        return field(`{{${name}}}`, control, hint);
      }),
    );
  }

  #showMessages() {
    replace(
      this.conversation,
      this.#messages.map((message) =>
        messageEditor(message, {
          onchange: () => this.#changed(),
          onremove: () => {
            this.#messages.splice(this.#messages.indexOf(message), 1);
            this.#showMessages();
            this.#changed();
          },
        }),
      ),
    );
    this.newButton.hidden = !this.#messages.length;
  }

  #addMessage() {
    const last = this.#messages.at(-1);
    this.#messages.push({ role: last?.role === "user" ? "assistant" : "user", content: "" });
    this.#showMessages();
    this.conversation.lastElementChild?.querySelector("textarea")?.focus();
    this.#changed();
  }

  #reset() {
    this.stop();
    this.#messages = [];
    this.#session = null;
    replace(this.results);
    this.#showMessages();
    this.#changed();
    this.composer.input.focus();
  }

  // ---------------------------------------------------------------- calls

  #call(form) {
    const config = form.value();
    const numSamples = Number(this.samples.value);
    if (!(numSamples >= 1 && numSamples <= MAX_SAMPLES)) throw new FormError(`Samples: enter a number from 1 to ${MAX_SAMPLES}.`, this.samples);
    const inputs = Object.fromEntries(form.inputNames.map((name) => [name, form.inputValue(this.#inputValues[name] ?? "")]));
    const body = { model_config: config, inputs, num_samples: numSamples, source: "web page" };
    const project = this.project.value.trim();
    if (project) {
      body.project = project;
      this.#session ??= `page-${randomId()}`;
      body.session_reference_id = this.#session;
    }
    if (this.#endpoint !== "chat") return body;
    const messages = this.#messages.map(withoutNulls);
    if (!this.composer.isEmpty) messages.push(this.composer.message());
    if (!messages.length && !config.chat_template) throw new FormError("Write a message first.", this.composer.input);
    if (this.composer.hasImages && !form.supportsImages) throw new FormError(`The provider ${config.provider} does not support images.`, this.composer.input);
    return { ...body, messages, ...(this.toolChoice.value ? { tool_choice: this.toolChoice.value } : {}) };
  }

  async run() {
    if (this.#running) return;
    this.problem.textContent = "";
    let calls;
    try {
      calls = this.#forms.map((form) => ({ body: this.#call(form) }));
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
      this.problem.textContent = error.message;
      error.control?.focus();
      return;
    }
    this.#running = new AbortController();
    this.runButton.hidden = true;
    this.stopButton.hidden = false;
    this.status.textContent = "Running";
    const isBlind = this.#isComparing && this.#isBlind;
    const order = isBlind && randomId() < "8" ? [1, 0] : [0, 1];
    const groups = calls.map((call, index) => this.#group(call, index, isBlind));
    const shownGroups = this.#isComparing ? order.map((index) => groups[index]) : groups;
    if (isBlind) shownGroups.forEach((group, place) => (group.label.textContent = `Config ${"XY"[place]}`));
    this.markdown.clear();
    replace(this.results, shownGroups.map((group) => group.element));
    this.results.classList.toggle("comparing", this.#isComparing);
    await Promise.all(groups.map((group) => this.#stream(group)));
    const stopped = this.#running.signal.aborted;
    this.#running = null;
    this.runButton.hidden = false;
    this.stopButton.hidden = true;
    const finished = groups.flatMap((group) => group.cards).filter((card) => card.finishReason).length;
    const total = groups.reduce((sum, group) => sum + group.cards.length, 0);
    this.status.textContent = stopped ? "Stopped" : `${finished} of ${count(total, "sample")} finished`;
    if (this.#isComparing && finished) this.#askPreference(shownGroups, groups);
  }

  stop() {
    this.#running?.abort();
  }

  #group(call, index, isBlind) {
    const started = performance.now();
    const cards = Array.from({ length: call.body.num_samples }, (_, number) => new SampleCard(`Sample ${number}`, started));
    const label = h("h2", null, isBlind ? "" : `Config ${"AB"[index]}`);
    const usage = h("p.usage");
    const choice = h("div.actions");
    const element = h(
      "section.group",
      null,
      this.#isComparing ? label : null,
      h("div.samples", { class: `of-${Math.min(cards.length, 4)}` }, cards.map((card) => card.element)),
      usage,
      choice,
    );
    return { call, index, cards, label, usage, choice, element };
  }

  async #stream(group) {
    const { call, cards } = group;
    const samples = new Samples(cards.length);
    const url = this.#endpoint === "chat" ? "/chat" : "/completion";
    const { signal } = this.#running;
    try {
      for await (const chunk of this.#app.client.stream(url, call.body, signal, samples)) {
        const card = cards[chunk.index];
        card.add(chunk);
        if (chunk.finish_reason) this.#finish(card, samples.samples[chunk.index], call);
      }
    } catch (error) {
      for (const card of cards) {
        if (card.isOver) continue;
        if (signal.aborted) card.stop();
        else card.fail(error.message);
        this.#offer(card, samples.samples[cards.indexOf(card)], call);
      }
    }
    const { usage } = samples;
    if (usage) {
      const reasoning = usage.reasoning_tokens ? `, ${count(usage.reasoning_tokens)} of reasoning` : "";
      replace(group.usage, `Usage: ${count(usage.prompt_tokens)} prompt + ${count(usage.generation_tokens)} generated tokens${reasoning}`);
    }
  }

  #finish(card, sample, call) {
    card.finish(sample);
    this.#offer(card, sample, call);
  }

  /** Offer what one can do with a sample that has ended. */
  #offer(card, sample, call) {
    this.markdown.add(card.textElement, card.text);
    const isChat = this.#endpoint === "chat";
    const hasContent = sample.output || sample.toolCalls;
    replace(
      card.buttons,
      isChat && hasContent ? button("Continue", () => this.#continue(sample, call), { class: "small", title: "Continue the conversation with this sample" }) : null,
      hasContent ? copyButton(card) : null,
      call.body.project && sample.id ? logLink(sample.id) : null,
    );
  }

  #continue(sample, call) {
    this.stop();
    const reply = { role: "assistant", content: sample.output };
    if (sample.toolCalls) reply.tool_calls = sample.toolCalls;
    const results = (sample.toolCalls ?? []).map((one) => ({ role: "tool", tool_call_id: one.id, name: one.function.name, content: "" }));
    this.#messages = [...structuredClone(call.body.messages ?? []), reply, ...results];
    this.composer.clear();
    replace(this.results);
    this.status.textContent = "";
    this.#showMessages();
    this.#changed();
    const empty = results.length ? [...this.conversation.querySelectorAll(".tool textarea")].at(-results.length) : null;
    (empty ?? this.composer.input).focus();
  }

  // ---------------------------------------------------------------- compare

  #askPreference(shownGroups, groups) {
    const choose = async (preferred) => {
      for (const group of groups) {
        group.label.textContent = `Config ${"AB"[group.index]}: ${group.call.body.model_config.model}`;
        replace(group.choice, group === preferred ? badge("preferred", "good") : null);
      }
      if (preferred) this.#score[preferred.index] += 1;
      this.status.textContent = `Config A ${this.#score[0]} : ${this.#score[1]} Config B`;
      announce(preferred ? `Config ${"AB"[preferred.index]} is preferred` : "No preference");
      if (!preferred) return;
      const feedback = groups.flatMap((group) =>
        group.call.body.project
          ? group.cards.filter((card) => card.id).map((card) => ({ type: "rating", data_id: card.id, value: group === preferred ? "good" : "bad" }))
          : [],
      );
      if (feedback.length) await this.#app.client.post("/feedback", feedback);
    };
    for (const group of shownGroups) {
      replace(group.choice, action("Prefer this one", () => choose(group)), group === shownGroups.at(-1) ? action("No preference", () => choose(null)) : null);
    }
  }

  // ---------------------------------------------------------------- configs

  async #formToSave() {
    if (!this.#isComparing) return this.#forms[0];
    let chosen = 0;
    const choice = segmented("Config", [[0, "Config A"], [1, "Config B"]], 0, (value) => (chosen = value));
    return (await dialog("Which one?", [choice], "Continue")) ? this.#forms[chosen] : null;
  }

  async #save() {
    const form = await this.#formToSave();
    if (!form) return;
    const config = form.value();
    const project = h("input", { type: "text", required: true, value: this.project.value, list: "project-names", autocomplete: "off" });
    const name = h("input", { type: "text", autocomplete: "off", placeholder: "optional" });
    const description = h("input", { type: "text", autocomplete: "off", placeholder: "optional" });
    let saved;
    const confirmed = await dialog(
      "Save as a config",
      [field("Project", project, "A project that does not exist is created."), field("Name", name), field("Description", description)],
      "Save",
      async () => {
        const body = compact({ ...config, project: project.value.trim(), name: name.value.trim() || null, description: description.value.trim() || null });
        saved = await this.#app.client.post("/model-configs", body);
      },
    );
    if (!confirmed) return;
    this.project.value = project.value.trim();
    this.#changed();
    toast(`Saved ${configName(saved.config)}`);
    await deployDialog(this.#app, saved.project_id, saved.config);
  }

  async #showCode() {
    const form = this.#forms[0];
    const call = this.#call(form);
    await dialog("The same call in Python", [code(pythonCall(this.#app.baseUrl, this.#endpoint, call), "Python")], null);
  }
}

function readDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT));
  } catch {
    return null;
  }
}

/** Ask to which environments a configuration or an experiment is deployed, and deploy it. */
export async function deployDialog(app, projectId, config, experiment = null) {
  const rows = await app.client.get(path`/projects/${projectId}/deployed-configs`);
  const boxes = rows.map((row) => h("input", { type: "checkbox", checked: row.environment_tag === "default", value: row.environment_id }));
  const name = experiment ? experiment.name : configName(config);
  return dialog(
    `Deploy ${name}?`,
    [
      h("p", null, "Calls of the deployed configuration use it from then on:"),
      rows.map((row, index) => {
        const present = row.model_config_id ? row.model_config_name || row.model_config_id : row.experiment_name;
        return h("label.check", null, boxes[index], h("span", null, row.environment_name, h("span.hint", null, present ? ` replaces ${present}` : " nothing deployed")));
      }),
    ],
    "Deploy",
    async () => {
      const environments = boxes.filter((box) => box.checked).map((box) => ({ id: box.value }));
      if (!environments.length) throw new Error("Choose an environment.");
      const target = experiment ? { experiment_id: experiment.id } : { config_id: config.id };
      await app.client.patch(path`/projects/${projectId}/deploy-config`, { ...target, environments });
      toast(`Deployed ${name}`);
    },
  );
}
