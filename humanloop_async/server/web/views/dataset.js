// One dataset: its datapoints, page by page.

import { path } from "../client.js";
import { h, link, replace, table } from "../dom.js";
import { contentText, count, excerpt } from "../format.js";
import { pager } from "./projects.js";

export default async function dataset(app, { id }, _query, signal) {
  const record = await app.client.get(path`/datasets/${id}`, undefined, { signal });
  app.title(record.name);
  const list = h("div");
  async function show(page) {
    const result = await app.client.get(path`/datasets/${id}/datapoints`, { page, size: 50 }, { signal });
    const json = (value) => h("td", null, value ? h("pre", { dir: "auto" }, JSON.stringify(value, null, 1)) : "–");
    const rows = result.records.map((point) =>
      h("tr", null, json(point.inputs), h("td", null, (point.messages ?? []).map((message) => h("p", { dir: "auto" }, `${message.role}: ${excerpt(contentText(message.content), 200)}`))), json(point.target), h("td", null, point.source_project_data_id ? link("log", `#${path`/logs/${point.source_project_data_id}`}`) : "–")),
    );
    replace(list, rows.length ? table("Datapoints", ["Inputs", "Messages", "Target", "Source"], rows) : h("p.hint", null, "This dataset is empty."), pager(page, result, show));
  }
  await show(0);
  return h("div", null, h("p.crumbs", null, link("Datasets", `#${path`/projects/${record.project_id}`}/datasets`)), h("div.page-head", null, h("h1", { tabIndex: -1, dir: "auto" }, record.name), h("span.hint", null, `version ${record.version ?? 1}, ${count(record.datapoint_count, "datapoint")}`)), h("p", null, record.description ?? ""), list);
}
