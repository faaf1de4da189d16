// Server-sent events: decode bytes into the data of each event.
//
// Implements the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", for data-only streams: the fields
// `event`, `id` and `retry` are ignored. The browser's EventSource cannot be used, because it sends neither a body nor
// a header with the API key.

/** Default limit of one event, in characters. The largest chat messages (with base64 images) are a few MiB. */
export const MAX_EVENT_LENGTH = 16 * 1024 * 1024;

/** An event exceeds the limit. `events` has the events before it, which arrived in the same read. */
export class EventTooLarge extends Error {
  constructor(limit, events) {
    super(`received an event larger than ${limit} characters`);
    this.name = "EventTooLarge";
    this.events = events;
  }
}

/**
 * Incremental decoder of a server-sent event stream.
 *
 * Lines end with LF, CRLF or CR, and reads may split the stream anywhere. An event is returned with the byte that
 * completes it; an unfinished last event is never returned. Time is linear in the bytes fed.
 */
export class EventStreamDecoder {
  #utf8 = new TextDecoder(); // drops one leading byte order mark
  #line = ""; // the unfinished line
  #data = null; // the lines of the unfinished event's data, or null
  #length = 0; // of those lines
  #afterCr = false; // the last character was CR: a following LF belongs to it
  #limit;

  constructor(limit = MAX_EVENT_LENGTH) {
    this.#limit = limit;
  }

  /**
   * Return the data of every event that these bytes complete, in order.
   *
   * @param {Uint8Array} bytes
   * @returns {string[]}
   * @throws {EventTooLarge}
   */
  feed(bytes) {
    let text = this.#utf8.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    this.#afterCr = text === "" ? false : text.endsWith("\r");
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    const events = [];
    for (const line of lines) this.#take(line, events);
    if (this.#length + this.#line.length > this.#limit) throw new EventTooLarge(this.#limit, events);
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data !== null) events.push(this.#data.join("\n"));
      this.#data = null;
      this.#length = 0;
      return;
    }
    this.#length += line.length + 1;
    if (this.#length > this.#limit + 1) throw new EventTooLarge(this.#limit, events);
    const colon = line.indexOf(":");
    if ((colon < 0 ? line : line.slice(0, colon)) !== "data") return;
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    (this.#data ??= []).push(value);
  }
}
