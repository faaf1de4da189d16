// The datasets of a project.

import { path } from "../client.js";
import { dialog, emptyState, field, h, link, select, table, toast } from "../dom.js";
import { count, time } from "../format.js";
import { createDataset } from "../snippets.js";

export default async function datasets(app, project, _query, signal) {
  const all = await app.client.get(path`/projects/${project.id}/datasets`, undefined, { signal });
  if (!all.length) return emptyState("No datasets yet", "Select logs and add them to a dataset, or create one:", createDataset(app.baseUrl, project.id));
  const rows = all.map((dataset) =>
    h("tr", null, h("th", { scope: "row" }, link(dataset.name, `#${path`/datasets/${dataset.id}`}`)), h("td", null, dataset.description ?? ""), h("td.number", null, count(dataset.datapoint_count)), h("td.number", null, dataset.version ?? "–"), h("td", null, time(dataset.updated_at))),
  );
  return table("Datasets", ["Name", "Description", "Datapoints", "Version", "Updated"], rows);
}

/** Ask for a dataset, and copy logs into it. */
export async function addToDataset(app, projectId, logIds) {
  const all = await app.client.get(path`/projects/${projectId}/datasets`);
  const choice = select([...all.map((dataset) => [dataset.id, dataset.name]), ["", "New dataset"]], all[0]?.id ?? "", () => (nameField.hidden = choice.value !== ""));
  const name = h("input", { type: "text", autocomplete: "off" });
  const nameField = field("Name", name);
  nameField.hidden = choice.value !== "";
  await dialog(`Add ${count(logIds.length, "log")} to a dataset`, [field("Dataset", choice), nameField], "Add", async () => {
    let id = choice.value;
    if (!id) {
      if (!name.value.trim()) throw new Error("Enter a name for the dataset.");
      ({ id } = await app.client.post(path`/projects/${projectId}/datasets`, { name: name.value.trim(), description: "" }));
    }
    await app.client.post(path`/datasets/${id}/datapoints`, { log_ids: logIds });
    toast(`Added ${count(logIds.length, "log")}`);
  });
}

