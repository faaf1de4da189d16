// A form for a v4 model configuration. It offers the parameters that the provider supports.

import { field, h, replace, select } from "./dom.js";
import { contentText } from "./format.js";

const DEFAULT_MODELS = { mock: "mock", local: "SmolLM2-135M-Instruct" };

/** Names of the `{{ inputs }}` in a template of v4's language. */
function inputNames(template) {
  return [...template.matchAll(/\{\{-?\s*([A-Za-z0-9_]+)[^}]*\}\}/g)].map(([, name]) => name);
}

const JINJA_WORDS = new Set("and do elif else false False if in is loop none None not or recursive true True".split(" "));

/** Names of the variables that a Jinja template reads and does not set, as far as its notation shows it. */
function jinjaNames(template) {
  const found = [];
  const own = new Set(JINJA_WORDS);
  for (const [, kind, source] of template.replace(/\{#[\s\S]*?#\}/g, "").matchAll(/\{([{%])[-+]?([\s\S]*?)[-+]?[%}]\}/g)) {
    // Texts, tests, attributes, filters, functions and names of arguments are no variables.
    let code = source.replace(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/g, " ").replace(/\bis\s+(?:not\s+)?\w+/g, " ");
    if (kind === "%") {
      const [, statement, rest] = /^\s*(\w*)([\s\S]*)$/.exec(code);
      if (/^(?:end|block|macro|call|filter|raw|include|import|from|extends)/.test(statement)) continue;
      code = rest;
      const assigned = /^(?:for|set)$/.test(statement) ? /^\s*([\w\s,]+?)\s*(?:\bin\b|=|$)([\s\S]*)$/.exec(rest) : null;
      if (assigned) {
        for (const name of assigned[1].split(/\W+/)) own.add(name);
        code = assigned[2];
      }
    }
    for (const [, name] of code.matchAll(/(?<![\w.]|[.|]\s*)([A-Za-z_]\w*)\b(?!\s*(?:\(|=[^=]))/g)) if (!own.has(name)) found.push(name);
  }
  return found;
}

/** An error of the form; `control` is the field to correct. */
export class FormError extends Error {
  constructor(message, control) {
    super(message);
    this.name = "FormError";
    this.control = control;
  }
}

const NUMBERS = [
  ["temperature", "Temperature", { min: 0, max: 2, step: 0.1 }, 1, "temperature"],
  ["max_tokens", "Max tokens", { min: -1, step: 1 }, -1, null],
  ["top_p", "Top p", { min: 0, max: 1, step: 0.05 }, 1, "top_p"],
  ["presence_penalty", "Presence penalty", { min: -2, max: 2, step: 0.1 }, 0, "penalties"],
  ["frequency_penalty", "Frequency penalty", { min: -2, max: 2, step: 0.1 }, 0, "penalties"],
  ["seed", "Seed", { step: 1 }, null, "seed"],
];

export class ConfigForm {
  #providers;
  #capabilities = null;
  #template = []; // the messages of a chat template after its system message

  /**
   * @param {{name: string, ready: boolean, capabilities: object|null}[]} providers
   * @param {string} endpoint "chat" or "complete".
   * @param {() => void} onchange Called after every change.
   */
  constructor(providers, endpoint, onchange) {
    this.#providers = providers;
    this.endpoint = endpoint;
    this.onchange = onchange;
    const ready = providers.filter((provider) => provider.ready).map((provider) => provider.name);
    const rest = providers.filter((provider) => !provider.ready).map((provider) => provider.name);
    const changed = () => this.onchange();
    this.provider = h(
      "select",
      { onchange: () => this.#changeProvider() },
      h("optgroup", { label: "Ready" }, ready.map((name) => h("option", { value: name }, name))),
      h("optgroup", { label: "Without a key on this server" }, rest.map((name) => h("option", { value: name }, name))),
    );
    this.model = h("input", { type: "text", spellcheck: "false", autocomplete: "off", oninput: changed });
    this.system = h("textarea", { rows: 4, oninput: changed, dir: "auto", placeholder: "You are a helpful assistant. Answer in {{language}}." });
    this.prompt = h("textarea", { rows: 8, oninput: changed, dir: "auto", placeholder: "Write a line about {{topic}}." });
    this.language = select([["default", "{{name}}"], ["jinja", "Jinja"]], "default", changed);
    this.numbers = {};
    for (const [name, , limits, initial] of NUMBERS) {
      this.numbers[name] = h("input", { type: "number", value: initial ?? "", inputmode: "decimal", ...limits, oninput: changed });
    }
    this.stop = h("input", { type: "text", oninput: changed, placeholder: "comma separated" });
    this.effort = h("input", { type: "text", oninput: changed, placeholder: "high, medium, low" });
    this.format = select([["", "Text"], ["json_object", "JSON object"], ["json_schema", "JSON with a schema"]], "", () => this.#changeFormat());
    this.schema = h("textarea.mono", { rows: 5, spellcheck: "false", oninput: changed, "aria-label": "JSON schema", placeholder: '{"name": "answer", "schema": {"type": "object"}}' });
    this.tools = h("textarea.mono", { rows: 6, spellcheck: "false", oninput: changed, placeholder: '[{"name": "weather", "description": "...", "parameters": {"type": "object"}}]' });
    this.other = h("textarea.mono", { rows: 3, spellcheck: "false", oninput: changed, placeholder: '{"tokens_per_second": 20}' });
    this.#build();
    this.provider.value = ready.includes("local") ? "local" : (ready.find((name) => name !== "mock") ?? "mock");
    this.#changeProvider();
  }

  #build() {
    const numbers = NUMBERS.map(([name, label]) => field(label, this.numbers[name]));
    this.schemaField = h("div", null, this.schema);
    this.promptField = field("Prompt template", this.prompt);
    this.systemField = field("System message", this.system);
    this.toolsField = h("details", null, h("summary", null, "Tools"), field("Tools, as a JSON list", this.tools));
    this.more = h("p.hint");
    this.element = h(
      "div.config-form",
      null,
      h("div.pair", null, field("Provider", this.provider), field("Model", this.model)),
      this.systemField,
      this.more,
      this.promptField,
      h(
        "details",
        null,
        h("summary", null, "Parameters"),
        h("div.grid", null, numbers, field("Stop", this.stop), field("Reasoning effort", this.effort), field("Response format", this.format), field("Template language", this.language)),
        this.schemaField,
      ),
      this.toolsField,
      h("details", null, h("summary", null, "Provider options"), field("Further parameters, as a JSON object", this.other)),
    );
    this.setEndpoint(this.endpoint);
    this.#changeFormat();
  }

  setEndpoint(endpoint) {
    this.endpoint = endpoint;
    const isChat = endpoint === "chat";
    this.systemField.hidden = this.toolsField.hidden = !isChat;
    this.promptField.hidden = isChat;
    this.more.hidden = !isChat || this.#template.length === 0;
  }

  #changeFormat() {
    this.schemaField.hidden = this.format.value !== "json_schema";
    this.onchange();
  }

  #changeProvider() {
    const name = this.provider.value;
    const previous = Object.values(DEFAULT_MODELS).includes(this.model.value) || this.model.value === "";
    if (previous) this.model.value = DEFAULT_MODELS[name] ?? "";
    this.model.placeholder = DEFAULT_MODELS[name] ? "" : "name of a model";
    const has = this.#providers.find((provider) => provider.name === name)?.capabilities ?? null;
    this.#capabilities = has;
    const supports = (capability) => has === null || capability === null || has[capability];
    for (const [parameter, , , initial, capability] of NUMBERS) this.#enable(this.numbers[parameter], supports(capability), initial ?? "");
    this.#enable(this.stop, supports("stop"), "");
    this.#enable(this.effort, supports("effort") || supports("budget"), "");
    this.#enable(this.tools, supports("tools"), "");
    for (const option of this.format.options) option.disabled = option.value !== "" && !supports(option.value);
    if (this.format.selectedOptions[0]?.disabled) this.format.value = "";
    this.#changeFormat();
  }

  #enable(control, isSupported, initial) {
    control.disabled = !isSupported;
    control.title = isSupported ? "" : `The provider ${this.provider.value} does not support this parameter`;
    if (!isSupported) control.value = initial;
  }

  get supportsImages() {
    return this.#capabilities === null || this.#capabilities.images;
  }

  get isJinja() {
    return this.language.value === "jinja";
  }

  /** Names of the inputs of the templates. */
  get inputNames() {
    const templates = this.endpoint === "chat" ? [this.system.value, ...this.#template.map((message) => contentText(message.content))] : [this.prompt.value];
    return [...new Set(templates.flatMap(this.isJinja ? jinjaNames : inputNames))];
  }

  /** Return the value of an input that was entered as text. In Jinja it may be a list, an object, true, false or null. */
  inputValue(text) {
    if (!this.isJinja || !/^\s*(?:[[{]|(?:true|false|null)\s*$)/.test(text)) return text;
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  /** Return the configuration for a request, without the parameters that have their defaults. */
  value() {
    const config = { provider: this.provider.value, model: this.model.value.trim() };
    if (!config.model) throw new FormError("Enter the name of a model.", this.model);
    for (const [name, label, , initial] of NUMBERS) {
      const control = this.numbers[name];
      if (!control.validity.valid) throw new FormError(`${label}: ${control.validationMessage}`, control);
      if (control.value !== "" && Number(control.value) !== initial) config[name] = Number(control.value);
    }
    const stop = this.stop.value.split(",").filter((text) => text !== "");
    if (stop.length) config.stop = stop;
    const effort = this.effort.value.trim();
    if (effort) config.reasoning_effort = /^\d+$/.test(effort) ? Number(effort) : effort;
    if (this.format.value) {
      config.response_format = { type: this.format.value };
      if (this.format.value === "json_schema") config.response_format.json_schema = this.#json(this.schema, "The JSON schema", "object") ?? {};
    }
    if (this.language.value !== "default") config.template_language = this.language.value;
    const other = this.#json(this.other, "Provider options", "object");
    if (other) config.other = other;
    if (this.endpoint !== "chat") return { ...config, endpoint: "complete", prompt_template: this.prompt.value };
    const system = this.system.value.trim() ? [{ role: "system", content: this.system.value }] : [];
    const template = [...system, ...this.#template];
    if (template.length) config.chat_template = template;
    const tools = this.#json(this.tools, "Tools", "list");
    if (tools?.length) config.tools = tools;
    return { ...config, endpoint: "chat" };
  }

  #json(control, label, kind) {
    if (!control.value.trim()) return null;
    let value;
    try {
      value = JSON.parse(control.value);
    } catch (error) {
      throw new FormError(`${label}: not valid JSON (${error.message})`, control);
    }
    const fits = kind === "list" ? Array.isArray(value) : typeof value === "object" && value !== null && !Array.isArray(value);
    if (!fits) throw new FormError(`${label}: enter a JSON ${kind}`, control);
    return value;
  }

  /** Show a configuration of the API. */
  load(config) {
    if (config.provider && ![...this.provider.options].some((option) => option.value === config.provider)) {
      this.provider.append(h("option", { value: config.provider }, config.provider));
    }
    this.provider.value = config.provider ?? "openai";
    this.model.value = config.model ?? "";
    this.#changeProvider();
    for (const [name, , , initial] of NUMBERS) {
      if (!this.numbers[name].disabled) this.numbers[name].value = config[name] ?? initial ?? "";
    }
    this.stop.value = Array.isArray(config.stop) ? config.stop.join(",") : (config.stop ?? "");
    this.effort.value = config.reasoning_effort ?? "";
    this.format.value = config.response_format?.type ?? "";
    this.schema.value = pretty(config.response_format?.json_schema);
    this.language.value = config.template_language ?? "default";
    this.other.value = pretty(config.other);
    this.prompt.value = config.prompt_template ?? "";
    const tools = (config.tools ?? []).map(({ name, description, parameters, strict }) =>
      Object.fromEntries(Object.entries({ name, description, parameters, strict }).filter(([, value]) => value !== null && value !== undefined)),
    );
    this.tools.value = tools.length ? JSON.stringify(tools, null, 2) : "";
    const template = config.chat_template ?? [];
    const [first, ...rest] = template;
    const hasSystem = first?.role === "system" && typeof first.content === "string";
    this.system.value = hasSystem ? first.content : "";
    this.#template = (hasSystem ? rest : template).map(withoutNulls);
    replace(this.more, this.#template.length ? `The template has ${this.#template.length} further message(s), which are sent, too.` : null);
    this.setEndpoint(this.endpoint);
    this.#changeFormat();
    for (const details of this.element.querySelectorAll("details")) {
      details.open = [...details.querySelectorAll("textarea")].some((control) => control.value !== "" && !control.closest("[hidden]"));
    }
  }
}

function pretty(value) {
  return value && Object.keys(value).length ? JSON.stringify(value, null, 2) : "";
}

export function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined));
}
