// Numbers, times and parts of v4's objects as text.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

export function count(number, noun) {
  const text = whole.format(number);
  return noun ? `${text} ${noun}${number === 1 ? "" : "s"}` : text;
}

export function seconds(value) {
  if (value === null || value === undefined) return null;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${(value * 100).toFixed(1)} %`;
}

/** The mean of an evaluator's judgments; there is none for texts and choices. */
export function mean(value) {
  return value === null || value === undefined ? "–" : String(Number(value.toFixed(3)));
}

/** A time relative to now, with the exact time as its title. */
export function time(iso) {
  if (!iso) return "–";
  const date = new Date(iso);
  return h("time", { datetime: iso, title: date.toLocaleString() }, ago(date));
}

function ago(date) {
  const elapsed = (date - Date.now()) / 1000;
  for (const [unit, length] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(elapsed) >= length) {
      if (unit === "day" && elapsed < -14 * length) return date.toLocaleDateString();
      return relative.format(Math.round(elapsed / length), unit);
    }
  }
  return relative.format(Math.round(elapsed), "second");
}

export function exactTime(iso) {
  return iso ? h("time", { datetime: iso }, new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })) : null;
}

/** The start of a text in one line. */
export function excerpt(text, length = 160) {
  const line = String(text ?? "").slice(0, length * 2).replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

/** The text of a message's content, which may be a list of parts. */
export function contentText(content) {
  if (!Array.isArray(content)) return content ?? "";
  return content.map((part) => (part.type === "text" ? part.text : "[image]")).join("\n");
}

/** What a log was asked: its last message of the user, or its inputs. */
export function question(log) {
  const last = log.messages?.findLast?.((message) => message.role === "user") ?? log.messages?.at(-1);
  if (last) return contentText(last.content);
  const inputs = Object.entries(log.inputs ?? {});
  return inputs.map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
}

/** A datapoint's target: its output if it has nothing else. */
export function targetText(target) {
  const isOutput = typeof target?.output === "string" && Object.keys(target).length === 1;
  return isOutput ? target.output : JSON.stringify(target ?? null);
}

export function configName(config) {
  return config?.name || config?.id || "deleted";
}

/** Copy an object without nulls, undefined and empty lists. */
export function compact(object) {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== null && value !== undefined && !(Array.isArray(value) && !value.length)),
  );
}

export function short(id) {
  return id.length > 14 ? `${id.slice(0, 12)}…` : id;
}
