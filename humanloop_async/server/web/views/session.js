// One session: its logs as a tree, in order of time.

import { path } from "../client.js";
import { badge, h, link } from "../dom.js";
import { configName, count, excerpt, question, seconds, time } from "../format.js";

const MAX_LOGS = 1000;

export default async function session(app, { id }, _query, signal) {
  const record = await app.client.get(path`/sessions/${id}`, undefined, { signal });
  app.title(`Session ${record.reference_id ?? id}`);
  const pages = await Promise.all(
    record.projects.map((project) => app.client.get("/logs", { project_id: project.id, session_id: id, sort: "timestamp.asc", size: MAX_LOGS }, { signal })),
  );
  const logs = pages.flatMap((page) => page.records).sort((one, other) => one.created_at.localeCompare(other.created_at));
  const known = new Set(logs.map((log) => log.id));
  const children = Map.groupBy(logs, (log) => (known.has(log.parent_id) ? log.parent_id : null));
  const several = record.projects.length > 1;
  const node = (log) =>
    h(
      "li",
      null,
      h(
        "a.node",
        { href: `#${path`/logs/${log.id}`}` },
        h("header", null, several ? badge(log.project ?? "", "accent") : null, h("span", null, excerpt(configName(log.config), 40)), time(log.created_at), h("span", null, seconds(log.duration ?? log.provider_latency) ?? ""), log.error ? badge("error", "bad") : null),
        h("span", { dir: "auto" }, excerpt(question(log), 200)),
        h("strong", { dir: "auto" }, excerpt(log.output ?? log.error, 300)),
      ),
      branch(log.id),
    );
  const branch = (parent) => (children.has(parent) ? h("ul", null, children.get(parent).map(node)) : null);
  return h(
    "div",
    null,
    h("p.crumbs", null, record.projects.map((project, index) => [index ? ", " : "", link(project.name, `#${path`/projects/${project.id}`}/sessions`)])),
    h("div.page-head", null, h("h1", { tabIndex: -1 }, `Session ${record.reference_id ?? ""}`), h("span.hint", null, count(record.datapoints_count, "log"))),
    record.datapoints_count > logs.length ? h("p.hint", null, `The first ${count(logs.length)} are shown.`) : null,
    h("div.tree", null, branch(null)),
  );
}
