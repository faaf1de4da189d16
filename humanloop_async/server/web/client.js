// A client of the v4 API for browsers: requests, streams, samples. It has no dependencies and does not touch the page,
// so that you can copy it and `sse.js` into another web application.

import { EventStreamDecoder, EventTooLarge } from "./sse.js";

/** The server rejected a request, or reported an error within a stream. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status, or the `code` of an error event.
   * @param {*} body The decoded error body, `{"detail": ...}` in v4.
   */
  constructor(status, body) {
    const message = errorMessage(status, body);
    const id = body?.request_id;
    super(status >= 500 && id && !message.includes(id) ? `${message} (request ${id})` : message);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
    this.origin = body?.detail?.origin ?? null;
  }
}

/** The server could not be reached, or the connection broke before the response was complete. */
export class ConnectionError extends Error {
  constructor(message, cause) {
    super(message, { cause });
    this.name = "ConnectionError";
  }
}

/** The connection ended before every sample had its finish reason. */
export class StreamTruncated extends ConnectionError {
  constructor(message) {
    super(message);
    this.name = "StreamTruncated";
  }
}

/** An event of a stream is not JSON, or does not fit the call. */
export class InvalidEvent extends Error {
  constructor(message) {
    super(message);
    this.name = "InvalidEvent";
  }
}

function errorMessage(status, body) {
  const detail = body?.detail ?? body?.error;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) {
    return detail.map((issue) => `${(issue.loc ?? []).slice(1).join(".") || "request"}: ${issue.msg}`).join("\n");
  }
  return detail?.message ?? `the server responded with status ${status}`;
}

export class Client {
  /**
   * @param {string|URL} baseUrl Such as `http://127.0.0.1:8460/v4`.
   * @param {string} apiKey Sent as the header `X-API-KEY`, and in no other place.
   */
  constructor(baseUrl, apiKey) {
    this.baseUrl = String(baseUrl).replace(/\/+$/, "");
    this.apiKey = apiKey;
  }

  get(path, query, options) {
    return this.request("GET", path, { ...options, query });
  }

  post(path, body, options) {
    return this.request("POST", path, { ...options, body });
  }

  patch(path, body, options) {
    return this.request("PATCH", path, { ...options, body });
  }

  delete(path, query, options) {
    return this.request("DELETE", path, { ...options, query });
  }

  /**
   * Send a request and return the decoded response; null if it has no body.
   *
   * @param {string} method
   * @param {string} path Relative to the base URL. Its parts must be encoded: see the template tag `path`.
   * @param {{query?: object, body?: *, signal?: AbortSignal, headers?: object}} options A list in `query` repeats its
   *     name; null and undefined are left out.
   * @throws {ApiError} The server responded with an error.
   * @throws {ConnectionError} The server could not be reached, or the connection broke.
   * @throws {DOMException} `signal` was aborted (`AbortError`).
   */
  async request(method, path, options = {}) {
    const response = await this.#send(method, path, options);
    try {
      const text = await response.text();
      return text === "" ? null : JSON.parse(text);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new ConnectionError("the connection broke before the response was complete", error);
    }
  }

  /**
   * Send a generation call with `stream: true`, and yield the chunks of all samples in order of arrival.
   *
   * The chunk that has a `finish_reason` ends its sample. Abort `signal`, or leave the loop, to stop the generation.
   * All chunks that arrived before an error are yielded before it is thrown.
   *
   * @param {string} path Such as `/chat`.
   * @param {object} body The call.
   * @param {AbortSignal} [signal]
   * @param {Samples} [samples] Collects the samples; pass one to read what arrived before an error.
   * @throws {ApiError} The server rejected the call, or the provider failed within the stream.
   * @throws {StreamTruncated} The connection ended early.
   * @throws {InvalidEvent} An event is not one of v4.
   */
  async *stream(path, body, signal, samples = new Samples(body.num_samples ?? 1)) {
    const headers = { "Idempotency-Key": randomId() };
    const response = await this.#send("POST", path, { body: { ...body, stream: true }, signal, headers });
    const decoder = new EventStreamDecoder();
    const reader = response.body.getReader();
    try {
      for (;;) {
        let read;
        try {
          read = await reader.read();
        } catch (error) {
          signal?.throwIfAborted();
          throw new StreamTruncated(samples.finished ? "the connection broke" : samples.truncation(error));
        }
        if (read.done) break;
        let events, tooLarge;
        try {
          events = decoder.feed(read.value);
        } catch (error) {
          if (!(error instanceof EventTooLarge)) throw error;
          [events, tooLarge] = [error.events, error];
        }
        for (const event of events) yield* samples.feed(event);
        if (tooLarge) throw tooLarge;
        if (samples.done) break;
      }
      if (!samples.finished) throw new StreamTruncated(samples.truncation());
    } finally {
      reader.cancel().catch(() => {}); // stops the generation if it still runs
    }
  }

  async #send(method, path, { query, body, signal, headers }) {
    const url = new URL(this.baseUrl + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (item !== null && item !== undefined) url.searchParams.append(name, item);
      }
    }
    const all = { "X-API-KEY": this.apiKey, ...headers };
    if (body !== undefined) all["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(url, {
        method,
        headers: all,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "error", // another server must not get the key
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new ConnectionError(`cannot reach the server at ${url.origin}; is it running?`, error);
    }
    if (!response.ok) {
      const text = await response.text().catch(() => "");
      let decoded;
      try {
        decoded = JSON.parse(text);
      } catch {
        decoded = { detail: text.slice(0, 300) || `the server responded with status ${response.status}` };
      }
      throw new ApiError(response.status, decoded);
    }
    return response;
  }
}

/** Template tag that encodes the parts of a path: path`/projects/${id}/configs`. */
export function path(strings, ...values) {
  return String.raw({ raw: strings }, ...values.map(encodeURIComponent));
}

/** Return 128 random bits. `crypto.randomUUID` does not exist on pages without TLS that are not on loopback. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One sample of a call: the chunks received so far, put together. */
export class Sample {
  output = "";
  reasoning = "";
  id = null;
  modelConfigId = null;
  finishReason = null;
  toolCalls = null;

  constructor(index) {
    this.index = index;
  }

  add(chunk) {
    this.id ??= chunk.id ?? null;
    this.modelConfigId ??= chunk.model_config_id ?? null;
    this.output += chunk.output ?? "";
    this.reasoning += chunk.reasoning ?? "";
    for (const call of chunk.tool_calls ?? []) {
      this.toolCalls ??= [];
      const known = this.toolCalls.find((other) => other.id === call.id);
      if (known) known.function.arguments = (known.function.arguments ?? "") + (call.function.arguments ?? "");
      else this.toolCalls.push(structuredClone(call));
    }
    this.finishReason = chunk.finish_reason ?? null;
  }
}

/**
 * Assigns the chunks of one stream to its samples, by `index` and never by position.
 *
 * `first` is the first event, with the fields that the server repeats (`project_id`, `session_id`, ...), and `usage`
 * the tokens of all samples, which the last event has.
 */
export class Samples {
  first = null;
  usage = null;
  done = false; // the server announced the end

  constructor(count) {
    this.samples = Array.from({ length: count }, (_, index) => new Sample(index));
  }

  get finished() {
    return this.samples.every((sample) => sample.finishReason !== null);
  }

  /** Yield the chunks of one event. */
  *feed(data) {
    if (this.done) return;
    if (data.trim() === "[DONE]") {
      this.done = true;
      return;
    }
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      throw new InvalidEvent(`received an event that is not JSON: ${data.slice(0, 100)}`);
    }
    const reported = event?.detail ?? event?.error;
    if (reported !== undefined && reported !== null && !event.data?.length) {
      const code = reported.code;
      throw new ApiError(code >= 400 && code <= 599 ? code : Array.isArray(reported) ? 422 : 500, event);
    }
    if (!Array.isArray(event?.data)) throw new InvalidEvent("received an event without data");
    this.first ??= event;
    if (event.usage) this.usage = event.usage;
    for (const chunk of event.data) {
      const sample = this.samples[chunk.index];
      if (sample === undefined) {
        throw new InvalidEvent(
          `received a chunk with index ${chunk.index}, but the call requested ${this.samples.length} sample(s)`,
        );
      }
      if (sample.finishReason !== null) {
        // Some servers repeat the chunk that ended a sample.
        if (chunk.finish_reason === sample.finishReason && !chunk.output && !chunk.tool_calls) continue;
        throw new InvalidEvent(`received a chunk of sample ${chunk.index} after its finish_reason`);
      }
      sample.add(chunk);
      yield chunk;
    }
  }

  /** Describe an early end of the connection. Finish reasons that did not arrive are never made up. */
  truncation(error) {
    const missing = this.samples.filter((sample) => sample.finishReason === null).map((sample) => sample.index);
    const how = this.done ? "the server sent [DONE]" : error ? "the connection broke" : "the connection ended";
    return `${how} before sample ${missing.join(", ")} of ${this.samples.length} had a finish_reason`;
  }
}
