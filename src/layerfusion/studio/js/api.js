// The service, by its OpenAPI. What goes wrong is thrown as an Error with the service's own sentence.

const BASE = new URL("../../v1/", import.meta.url);
const TOKEN = "layerfusion-token";

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const setToken = (token) => localStorage.setItem(TOKEN, token);

async function ask(path, options = {}) {
  const token = localStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(new URL(path, BASE), { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refused("the service does not answer; is it still running?", 0);
  });
  if (!answer.ok) throw new Refused(await complaint(answer), answer.status);
  return answer;
}

async function complaint(answer) {
  const body = await answer.json().catch(() => null);
  return body?.error?.message ?? `the service answered ${answer.status} ${answer.statusText}.`;
}

const json = async (path, options) => (await ask(path, options)).json();
const post = (path, body, headers = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });

export const describeModel = () => json("model");
export const startRun = async (request, key) => (await post("runs", request, { "Idempotency-Key": key })).json();
export const upload = async (blob) => (await ask("uploads", { method: "POST", headers: { "Content-Type": blob.type }, body: blob })).json();
export const readRun = (id) => json(`runs/${id}`);
export const cancelRun = (id) => ask(`runs/${id}`, { method: "DELETE" });
export const readLayers = (id) => json(`runs/${id}/layers`);
export const readPicture = async (address) => (await ask(address)).blob();

/** The events of a run as they come: {type, data}. Ends with the run; goes on by itself where the line breaks. */
export async function* follow(id, signal) {
  let last = null;
  for (;;) {
    try {
      for await (const event of eventsOf(await ask(`runs/${id}/events`, { signal, headers: last ? { "Last-Event-ID": last } : {} }))) {
        last = event.id ?? last;
        yield event;
      }
      return;
    } catch (error) {
      if (signal.aborted || error.status) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** Server-sent events, read from an answer: EventSource cannot send a token. */
async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) fields[line.slice(0, colon)] = (fields[line.slice(0, colon)] ?? "") + line.slice(colon + 1).trimStart();
      }
      if (fields.data) yield { type: fields.event ?? "message", id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}
