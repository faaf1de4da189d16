// The evaluations of a project, with their progress.

import { path } from "../client.js";
import { badge, emptyState, h, link, replace, table } from "../dom.js";
import { configName, time } from "../format.js";
import { createEvaluation } from "../snippets.js";
import { pager } from "./projects.js";

export default async function evaluations(app, project, _query, signal) {
  const box = h("div");
  async function show(page) {
    const result = await app.client.get("/evaluations", { project_id: project.id, page, size: 50 }, { signal });
    if (!result.total) {
      replace(box, emptyState("No evaluations yet", "An evaluation runs a config on a dataset, and judges the outputs.", createEvaluation(app.baseUrl, project.id)));
      return;
    }
    const rows = result.records.map((evaluation) =>
      h("tr", null, h("th", { scope: "row" }, link(evaluation.name || evaluation.id, `#${path`/evaluations/${evaluation.id}`}`)), h("td", null, status(evaluation)), h("td", null, configName(evaluation.config)), h("td", null, evaluation.dataset.name), h("td", null, progress(evaluation)), h("td", null, time(evaluation.created_at))),
    );
    replace(box, table("Evaluations", ["Evaluation", "Status", "Config", "Dataset", "Progress", "Created"], rows), pager(page, result, show));
  }
  await show(0);
  return box;
}

export function status(evaluation) {
  return badge(evaluation.status, { completed: "good", running: "accent", pending: "accent" }[evaluation.status] ?? "bad");
}

export function progress({ progress: done }) {
  if (!done) return h("span.hint", null, "–");
  const share = done.results_total ? done.results / done.results_total : 0;
  const bar = h("i");
  bar.style.inlineSize = `${share * 100}%`;
  return h("div", null, h("div.meter", { role: "img", "aria-label": `${Math.round(share * 100)} %` }, bar), h("span.hint", null, `${done.results} of ${done.results_total} results${done.errors ? `, ${done.errors} errors` : ""}`));
}
