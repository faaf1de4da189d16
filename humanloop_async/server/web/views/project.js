// One project: its name, and a tab for each kind of object in it.

import { path } from "../client.js";
import { h, link } from "../dom.js";
import { count } from "../format.js";

const TABS = {
  logs: ["Logs", () => import("./logs.js")],
  configs: ["Configs", () => import("./configs.js")],
  experiments: ["Experiments", () => import("./experiments.js")],
  sessions: ["Sessions", () => import("./sessions.js")],
  datasets: ["Datasets", () => import("./datasets.js")],
  evaluations: ["Evaluations", () => import("./evaluations.js")],
};

export default async function project(app, { id, tab = "logs" }, query, signal) {
  if (!(tab in TABS)) tab = "logs";
  const [response, module] = await Promise.all([app.client.get(path`/projects/${id}`, undefined, { signal }), TABS[tab][1]()]);
  app.title(`${response.name}: ${TABS[tab][0]}`);
  const tabs = Object.entries(TABS).map(([name, [label]]) =>
    link(label, `#${path`/projects/${id}`}/${name}`, name === tab ? { "aria-current": "page" } : {}),
  );
  return h(
    "div",
    null,
    h("p.crumbs", null, link("Projects", "#/projects")),
    h("div.page-head", null, h("h1", { tabIndex: -1, dir: "auto" }, response.name), h("span.hint", null, count(response.data_count, "log"))),
    h("nav.tabs", { "aria-label": "Project" }, tabs),
    await module.default(app, response, query, signal),
  );
}
