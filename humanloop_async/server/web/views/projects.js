// All projects of the server: search, create.

import { action, button, dialog, emptyState, field, h, link, replace, table } from "../dom.js";
import { configName, count, time } from "../format.js";
import { firstLog } from "../snippets.js";

const SIZE = 50;

export default async function projects(app, _params, query, signal) {
  app.title("Projects");
  let page = 0;
  const search = h("input", { type: "search", value: query.get("search") ?? "", placeholder: "Name", oninput: () => later() });
  const list = h("div");
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => ((page = 0), app.setQuery(search.value ? { search: search.value } : {}), load().catch(() => {})), 200);
  };
  let latest = 0;
  async function load() {
    const turn = ++latest;
    const filter = search.value || null;
    const result = await app.client.get("/projects", { filter, page, size: SIZE, sort_by: "updated_at" }, { signal });
    if (turn !== latest) return;
    if (!result.total && !filter) {
      replace(list, emptyState("No projects yet", "A project is created by the first call that names it.", firstLog(app.baseUrl, "greeter"), link("Or try it in the playground", "#/playground?project=greeter")));
      return;
    }
    const rows = result.records.map((project) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, link(h("bdi", null, project.name), `#/projects/${encodeURIComponent(project.id)}`)),
        h("td", null, project.active_experiment ? `experiment ${project.active_experiment.name}` : project.active_config ? configName(project.active_config.config) : h("span.hint", null, "nothing deployed")),
        h("td.number", null, count(project.data_count)),
        h("td", null, time(project.updated_at)),
      ),
    );
    replace(
      list,
      rows.length ? table("Projects", ["Name", "Deployed", "Logs", "Updated"], rows) : h("p.hint", null, "No project has this name."),
      pager(page, result, (next) => ((page = next), load())),
    );
  }
  await load();
  return h(
    "div",
    null,
    h("div.page-head", null, h("h1", { tabIndex: -1 }, "Projects"), h("div.actions", null, action("New project…", () => create(app)))),
    h("div.bar", null, h("div.grow", null, field("Search", search))),
    list,
  );
}

async function create(app) {
  const name = h("input", { type: "text", required: true, autocomplete: "off" });
  let project;
  const run = async () => {
    project = await app.client.post("/projects", { name: name.value.trim() });
  };
  if (await dialog("New project", [field("Name", name)], "Create", run)) app.go(`/projects/${encodeURIComponent(project.id)}`);
}

/** Buttons for the pages of a list whose first page is 0. */
export function pager(page, { size, total }, go) {
  const pages = Math.ceil(total / size);
  if (pages < 2) return null;
  return h(
    "nav.bar",
    { "aria-label": "Pages" },
    button("Previous", () => go(page - 1), { disabled: page === 0 }),
    h("span.hint", null, `Page ${page + 1} of ${count(pages)}`),
    button("Next", () => go(page + 1), { disabled: page + 1 >= pages }),
  );
}
