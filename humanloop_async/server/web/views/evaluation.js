// One evaluation: progress, distribution of the judgments, each datapoint with its results, human judgments.

import { path } from "../client.js";
import { action, badge, facts, h, link, replace, select, table } from "../dom.js";
import { configName, count, excerpt, mean, question, targetText } from "../format.js";
import { progress, status } from "./evaluations.js";
import { isOpen, judge, Judging, judgmentControl } from "./judging.js";
import { pager } from "./projects.js";

const SIZE = 50;
const POLL = 2000; // milliseconds

export default async function evaluation(app, { id }, query, signal) {
  const head = h("div");
  const rows = h("div");
  const other = query.get("with");
  const address = path`/evaluations/${id}`;
  let page = 0;
  let current;
  let shown = null; // what `head` shows, as JSON
  let judging = null;
  let timer;

  async function loadHead() {
    current = await app.client.get(address, { evaluator_aggregates: true }, { signal });
    if (JSON.stringify(current) === shown) return; // the controls keep their focus
    shown = JSON.stringify(current);
    app.title(current.name || "Evaluation");
    const change = (label, status, props) => action(label, async () => {
      await app.client.patch(`${address}/status`, { status });
      if (judging) return app.go(address);
      await loadHead();
      await loadRows();
      watch();
    }, props);
    const isRunning = ["running", "pending"].includes(current.status);
    const isJudged = current.evaluators.some((evaluator) => evaluator.type === "human");
    replace(
      head,
      h(
        "div.page-head",
        null,
        h("h1", { tabIndex: -1 }, current.name || "Evaluation"),
        status(current),
        h(
          "div.actions",
          null,
          isJudged && isRunning ? (query.get("judge") ? link("Show the results", `#${address}`, { class: "button" }) : link("Judge one by one", `#${address}?judge=1`, { class: "button primary" })) : null,
          isRunning ? [change("Complete", "completed"), change("Cancel", "cancelled", { class: "danger" })] : change("Resume", "running"),
        ),
      ),
      h("div.card", null, progress(current), facts([["Config", configName(current.config)], ["Dataset", link(current.dataset.name, `#${path`/datasets/${current.dataset.id}`}`)], ...(current.evaluator_aggregates ?? []).map((one) => [nameOf(one.evaluator_id), mean(one.aggregate_value)])])),
    );
  }
  const nameOf = (evaluatorId) => current.evaluators.find((evaluator) => evaluator.id === evaluatorId)?.name ?? evaluatorId;
  const points = (evaluationId) => app.client.get(path`/evaluations/${evaluationId}/datapoints`, { page: page + 1, size: SIZE }, { signal });

  async function loadRows() {
    const [mine, theirs] = await Promise.all([points(id), other ? points(other) : null]);
    const byDatapoint = new Map((theirs?.records ?? []).map((record) => [record.datapoint.id, record]));
    const columns = current.evaluators.map((evaluator) => evaluator.name);
    const results = (record) => current.evaluators.map((evaluator) => h("td", null, record ? judgment(record, evaluator) : "–"));
    const output = (record) => h("td", null, record?.log ? link(h("span", { dir: "auto" }, excerpt(record.log.output ?? record.log.error, 200) || "(empty)"), `#${path`/logs/${record.log.id}`}`) : h("span.hint", null, "not generated yet"));
    const body = mine.records.map((record) => {
      const second = byDatapoint.get(record.datapoint.id);
      return h("tr", null, h("td", { dir: "auto" }, excerpt(question(record.datapoint), 120)), h("td", { dir: "auto" }, excerpt(targetText(record.datapoint.target), 120)), output(record), results(record), other ? [output(second), results(second)] : null);
    });
    const heads = ["Output", ...columns];
    replace(rows, distribution(mine.records), table("Results", ["Input", "Target", ...heads, ...(other ? heads.map((name) => `${name} (other)`) : [])], body), pager(page, mine, (next) => ((page = next), loadRows())));
  }

  function judgment(record, evaluator) {
    const result = record.evaluation_results.find((one) => one.evaluator_id === evaluator.id);
    if (result?.error) return badge(excerpt(result.error, 60), "bad");
    if (result && result.value !== null && result.value !== undefined) return badge(excerpt(result.value, 60), result.value === true ? "good" : result.value === false ? "bad" : "");
    if (!isOpen(record, evaluator) || current.status !== "running") return h("span.hint", null, "–");
    return judgmentControl(evaluator, async (value) => {
      await judge(app, id, record, evaluator, value);
      await loadHead();
      await loadRows();
    });
  }

  function distribution(records) {
    return current.evaluators.map((evaluator) => {
      const counts = new Map();
      for (const record of records) {
        const value = record.evaluation_results.find((one) => one.evaluator_id === evaluator.id)?.value;
        if (value !== null && value !== undefined) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
      }
      if (!counts.size) return null;
      const total = [...counts.values()].reduce((sum, number) => sum + number, 0);
      return h("section.card", null, h("h2", null, `${evaluator.name}, on this page`), h("div.bars", null, [...counts].sort().slice(0, 12).map(([value, number]) => {
        const bar = h("i");
        bar.style.inlineSize = `${(number / total) * 100}%`;
        return h("div", null, h("span", null, value), h("div.meter", null, bar), h("span", null, count(number)));
      })));
    });
  }

  await loadHead();
  if (query.get("judge") && current.status === "running") judging = new Judging(app, current, loadHead, signal);
  await (judging ? judging.next() : loadRows());
  const { records } = await app.client.get("/evaluations", { project_id: current.dataset.project_id, size: 50 }, { signal });
  const others = records.filter((one) => one.id !== id && one.dataset.id === current.dataset.id);
  const choice = others.length ? select([["", "no other"], ...others.map((one) => [one.id, one.name || `${configName(one.config)} (${one.id})`])], other ?? "", (value) => app.go(`${address}${value ? `?with=${encodeURIComponent(value)}` : ""}`), { "aria-label": "Compare with" }) : null;
  function watch() {
    clearTimeout(timer);
    if (!signal.aborted && ["running", "pending"].includes(current.status)) timer = setTimeout(tick, POLL);
  }
  async function tick() {
    try {
      const before = current.progress;
      await loadHead();
      // Rows with a judgment that is being written stay.
      const isNew = JSON.stringify(before) !== JSON.stringify(current.progress);
      if (isNew && !judging && !rows.contains(document.activeElement)) await loadRows();
      app.connected(true);
    } catch (error) {
      if (error.name === "AbortError") return;
      app.connected(false);
    }
    watch();
  }
  watch();
  return h("div.sections", null, h("p.crumbs", null, link("Evaluations", `#${path`/projects/${current.dataset.project_id}`}/evaluations`)), head, judging ? judging.element : [choice ? h("label.check", null, "Compare with", choice) : null, rows]);
}
