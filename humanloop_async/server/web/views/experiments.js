// The experiments of a project: mean and interval of each configuration; create, start and stop.

import { path } from "../client.js";
import { action, badge, dialog, emptyState, field, h, replace, select, table } from "../dom.js";
import { configName, count, percent } from "../format.js";
import { createExperiment } from "../snippets.js";
import { deployDialog } from "./playground.js";

export default async function experiments(app, project, _query, signal) {
  const box = h("div.sections");
  async function load() {
    const [all, configs, deployed] = await Promise.all([
      app.client.get(path`/projects/${project.id}/experiments`, undefined, { signal }),
      app.client.get(path`/projects/${project.id}/configs`, undefined, { signal }),
      app.client.get(path`/projects/${project.id}/deployed-configs`, undefined, { signal }),
    ]);
    const models = configs.map((item) => item.config).filter((config) => config.type === "model");
    replace(
      box,
      h("div.actions", null, action("New experiment…", async () => (await create(app, project, models)) && load())),
      all.length
        ? all.map((experiment) => experimentView(app, project, experiment, deployed, load))
        : emptyState("No experiments yet", "An experiment splits calls among configs, and compares their feedback.", createExperiment(app.baseUrl, project.id, models.map((config) => config.id))),
    );
  }
  await load();
  return box;
}

function experimentView(app, project, experiment, deployed, load) {
  const running = deployed.filter((row) => row.experiment_id === experiment.id);
  const rows = (experiment.configs ?? []).map((arm) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, arm.display_name, arm.active ? null : [" ", badge("inactive")]),
      h("td.number", null, count(arm.trials_count)),
      h("td.number", null, percent(arm.mean)),
      h("td", null, interval(arm)),
      h("td", null, action(arm.active ? "Deactivate" : "Activate", async () => {
        await app.client.patch(path`/experiments/${experiment.id}`, { [arm.active ? "config_ids_to_deregister" : "config_ids_to_register"]: [arm.id] });
        await load();
      }, { class: "small" })),
    ),
  );
  const stop = async () => {
    for (const row of running) await app.client.delete(path`/projects/${project.id}/deployed-config/${row.environment_id}`);
    await load();
  };
  return h(
    "section.card",
    { "aria-label": experiment.name },
    h(
      "div.page-head",
      null,
      h("h2", null, experiment.name),
      running.length ? running.map((row) => badge(`running in ${row.environment_name}`, "good")) : badge("stopped"),
      h("span.hint", null, `${experiment.sampling} sampling; success: ${experiment.positive_labels.map((label) => `${label.type} ${label.value}`).join(", ")}`),
      h("div.actions", null, action("Start…", async () => (await deployDialog(app, project.id, null, experiment)) && load()), running.length ? action("Stop", stop, { class: "danger" }) : null),
    ),
    table(`Configs of ${experiment.name}`, ["Config", "With feedback", "Mean", "Interval", h("span.hidden-label", null, "Actions")], rows),
  );
}

/** The mean, and one spread on both sides of it, on a scale from 0 to 1. */
function interval({ mean, spread }) {
  if (mean === null || mean === undefined) return h("span.hint", null, "no feedback yet");
  const low = Math.max(0, mean - (spread ?? 0));
  const high = Math.min(1, mean + (spread ?? 0));
  const range = h("i");
  range.style.insetInlineStart = `${low * 100}%`;
  range.style.inlineSize = `${(high - low) * 100}%`;
  const mark = h("b");
  mark.style.insetInlineStart = `${mean * 100}%`;
  return h("div.interval", { role: "img", "aria-label": `${percent(low)} to ${percent(high)}` }, range, mark);
}

async function create(app, project, models) {
  const name = h("input", { type: "text", required: true, autocomplete: "off" });
  const labels = project.feedback_types.flatMap((type) => (type.values ?? []).map((label) => [JSON.stringify({ type: type.type, value: label.value }), `${type.type}: ${label.value}`]));
  const options = labels.length ? labels : [[JSON.stringify({ type: "rating", value: "good" }), "rating: good"]];
  const positive = select(options, (options.find(([, label]) => label === "rating: good") ?? options[0])[0]);
  const boxes = models.map((config) => h("input", { type: "checkbox", value: config.id }));
  return dialog(
    "New experiment",
    [field("Name", name), field("Feedback that counts as a success", positive), h("fieldset.card", null, h("legend", null, "Configs"), models.map((config, index) => h("label.check", null, boxes[index], `${configName(config)} (${config.model})`)))],
    "Create",
    async () => {
      const ids = boxes.filter((box) => box.checked).map((box) => box.value);
      if (!ids.length) throw new Error("Choose at least one config.");
      await app.client.post(path`/projects/${project.id}/experiments`, { name: name.value.trim(), positive_labels: [JSON.parse(positive.value)], config_ids: ids });
    },
  );
}
