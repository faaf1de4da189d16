// The configurations of a project: deployments, figures, and the difference between two of them.

import { path } from "../client.js";
import { action, badge, button, emptyState, h, link, replace, table, toast } from "../dom.js";
import { configName, count, mean, time } from "../format.js";
import { registerConfig } from "../snippets.js";
import { deployDialog } from "./playground.js";

const SHOWN = 100; // rows; a program that sends each prompt as a template creates a config per log

export default async function configs(app, project, query, signal) {
  const box = h("div.sections");
  const chosen = [query.get("a"), query.get("b")].filter(Boolean);
  async function load() {
    const [all, deployed] = await Promise.all([
      app.client.get(path`/projects/${project.id}/configs`, { evaluation_aggregates: true }, { signal }),
      app.client.get(path`/projects/${project.id}/deployed-configs`, undefined, { signal }),
    ]);
    const isJudged = all.some((item) => item.evaluation_aggregates?.length);
    const evaluators = new Map((isJudged ? await app.client.get("/evaluators", undefined, { signal }) : []).map((evaluator) => [evaluator.id, evaluator.name]));
    all.sort((one, other) => other.created_at.localeCompare(one.created_at));
    replace(box, deployments(app, project, all, deployed, load), all.length ? list(all, deployed, evaluators) : emptyState("No configs yet", "Save one in the playground, or register one:", registerConfig(app.baseUrl, project.name), link("Open the playground", `#/playground?project=${encodeURIComponent(project.name)}`)));
  }

  function list(all, deployed, evaluators) {
    const difference = h("div", { "aria-live": "polite" });
    const showDifference = () => {
      const two = chosen.map((id) => all.find((item) => item.config.id === id)).filter(Boolean);
      app.setQuery(chosen.length === 2 ? { a: chosen[0], b: chosen[1] } : {});
      replace(difference, two.length === 2 ? diffView(project, two[0].config, two[1].config) : chosen.length ? h("p.hint", null, "Select a second config to compare.") : null);
    };
    const row = (item) => {
      const { config } = item;
      const environments = deployed.filter((row) => row.model_config_id === config.id);
      const box = h("input", {
        type: "checkbox",
        "aria-label": `Compare ${configName(config)}`,
        checked: chosen.includes(config.id),
        onchange: () => {
          if (box.checked) chosen.push(config.id);
          else chosen.splice(chosen.indexOf(config.id), 1);
          if (chosen.length > 2) {
            const dropped = chosen.shift();
            for (const other of body.querySelectorAll("input[type=checkbox]")) if (other.value === dropped) other.checked = false;
          }
          showDifference();
        },
        value: config.id,
      });
      const feedback = (item.feedback_stats ?? []).map((stat) => badge(`${stat.feedback_type} ${stat.feedback_value}: ${stat.feedback_count}`, stat.feedback_value === "good" ? "good" : stat.feedback_value === "bad" ? "bad" : ""));
      const judged = (item.evaluation_aggregates ?? []).map((one) => badge(`${evaluators.get(one.evaluator_id) ?? one.evaluator_id}: ${mean(one.aggregate_value)}`));
      return h(
        "tr",
        null,
        h("td", null, box),
        h("th", { scope: "row" }, configName(config), config.description ? h("p.hint", null, config.description) : null, environments.map((row) => badge(row.environment_name, "accent"))),
        h("td", null, config.model ?? config.type, h("p.hint", null, config.provider ?? "")),
        h("td.number", null, count(item.num_datapoints ?? 0)),
        h("td", null, feedback, judged),
        h("td", null, time(item.last_used)),
        h("td", null, config.type === "model" ? h("div.actions", null, action("Deploy…", async () => (await deployDialog(app, project.id, config)) && load(), { class: "small" }), link("Try", playground(project, config), { class: "button small" })) : null),
      );
    };
    const more = button(`Show all ${count(all.length)}`, () => {
      body.querySelector("tbody").append(...all.slice(SHOWN).map(row));
      more.remove();
    });
    const body = table("Configs", [h("span.hidden-label", null, "Compare"), "Config", "Model", "Logs", "Feedback and evaluations", "Last used", h("span.hidden-label", null, "Actions")], all.slice(0, SHOWN).map(row));
    showDifference();
    return [h("h2", null, "Configs"), h("p.hint", null, "Select two to see their difference."), body, all.length > SHOWN ? more : null, difference];
  }
  await load();
  return box;
}

function playground(project, config, other) {
  const query = new URLSearchParams({ project: project.name, config: config.id, ...(other ? { compare: other.id } : {}) });
  return `#/playground?${query}`;
}

function deployments(app, project, all, deployed, load) {
  const rows = deployed.map((row) => {
    const name = row.experiment_id ? `experiment ${row.experiment_name}` : row.model_config_id ? row.model_config_name || row.model_config_id : null;
    const previous = recall(project.id, row);
    return h(
      "tr",
      null,
      h("th", { scope: "row" }, row.environment_name, row.environment_tag === "default" ? [" ", badge("default")] : null),
      h("td", null, name ?? h("span.hint", null, "nothing deployed")),
      h(
        "td",
        null,
        h(
          "div.actions",
          null,
          previous && all.some((item) => item.config.id === previous)
            ? action(`Roll back to ${configName(all.find((item) => item.config.id === previous).config)}`, async () => {
                await app.client.patch(path`/projects/${project.id}/deploy-config`, { config_id: previous, environments: [{ id: row.environment_id }] });
                toast("Rolled back");
                await load();
              }, { class: "small" })
            : null,
          name
            ? action("Remove", async () => {
                await app.client.delete(path`/projects/${project.id}/deployed-config/${row.environment_id}`);
                await load();
              }, { class: "small" })
            : null,
        ),
      ),
    );
  });
  return h("section", null, h("h2", null, "Deployments"), table("Deployments", ["Environment", "Deployed", h("span.hidden-label", null, "Actions")], rows));
}

/** Remember the deployments that this tab has seen; v4 has no history. Returns the one before the present one. */
function recall(projectId, row) {
  const key = `humanloop-deployed-${projectId}-${row.environment_id}`;
  const history = JSON.parse(sessionStorage.getItem(key) ?? "[]");
  if (row.model_config_id && history.at(-1) !== row.model_config_id) history.push(row.model_config_id);
  sessionStorage.setItem(key, JSON.stringify(history.slice(-10)));
  return row.model_config_id ? history.at(-2) : history.at(-1);
}

/** The parameters of two configurations, one below the other, with their differences marked. */
function diffView(project, one, other) {
  const hidden = new Set(["id", "name", "description", "type", "tool_configs"]);
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((name) => !hidden.has(name));
  const rows = names
    .map((name) => [name, shown(one[name]), shown(other[name])])
    .filter(([, before, after]) => before !== after)
    .map(([name, before, after]) => {
      const [left, right] = markLines(before, after);
      return h("tr.changed", null, h("th", { scope: "row" }, name), h("td", null, left), h("td", null, right));
    });
  return h(
    "section",
    { "aria-label": "Difference" },
    h("div.page-head", null, h("h2", null, "Difference"), h("div.actions", null, link("Compare in playground", playground(project, one, other), { class: "button small" }))),
    rows.length ? h("div.diff", null, table("Difference", ["Parameter", configName(one), configName(other)], rows)) : h("p.hint", null, "Both have the same parameters."),
  );
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value, (_name, part) => part ?? undefined, 2).replaceAll("\\n", "\n");
}

/** Mark the lines that only one of two texts has. */
export function markLines(before, after) {
  const [left, right] = [before.split("\n"), after.split("\n")];
  const common = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  if (left.length * right.length > 4_000_000) return [h("del", null, before), h("ins", null, after)];
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      common[i][j] = left[i] === right[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const [old, fresh] = [[], []];
  let i = 0, j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      old.push(`${left[i++]}\n`);
      fresh.push(`${right[j++]}\n`);
    } else if (j >= right.length || (i < left.length && common[i + 1][j] >= common[i][j + 1])) old.push(h("del", null, left[i++]), "\n");
    else fresh.push(h("ins", null, right[j++]), "\n");
  }
  return [old, fresh];
}

