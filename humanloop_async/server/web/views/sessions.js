// The sessions of a project, newest first. Their first page is 1.

import { path } from "../client.js";
import { emptyState, h, link, replace, table } from "../dom.js";
import { count, excerpt, short, time } from "../format.js";
import { sessionCall } from "../snippets.js";
import { pager } from "./projects.js";

export default async function sessions(app, project, _query, signal) {
  const box = h("div");
  async function show(page) {
    const result = await app.client.get("/sessions", { project_id: project.id, page: page + 1, size: 50 }, { signal });
    if (!result.total) {
      replace(box, emptyState("No sessions yet", "Calls with the same session_reference_id belong to one session.", sessionCall(app.baseUrl, project.name)));
      return;
    }
    const rows = result.records.map((session) =>
      h("tr", null, h("th", { scope: "row" }, link(session.reference_id ? excerpt(session.reference_id, 40) : short(session.id), `#${path`/sessions/${session.id}`}`)), h("td.number", null, count(session.datapoints_count)), h("td", null, h("span.cut", { dir: "auto" }, excerpt(session.last_output) || "–")), h("td", null, time(session.updated_at))),
    );
    replace(box, table("Sessions", ["Session", "Logs", "Last output", "Updated"], rows), pager(page, result, show));
  }
  await show(0);
  return box;
}
