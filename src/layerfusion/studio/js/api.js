// The service, by its OpenAPI. What goes wrong is thrown as an Error with the service's own sentence.

const BASE = new URL("../v1/", import.meta.url);

const TOKEN = "layerfusion-token";

const ENDED = ["done", "failed", "cancelled"];

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let askForToken = null;
let asking = null;

/** Who is asked for the token where the service wants one; told whether the last one was wrong, gives null for none. */
export const onLocked = (ask) => { askForToken = ask; };

async function ask(path, options = {}) {
  const token = localStorage.getItem(TOKEN);
  const headers = token ? { ...options.headers, Authorization: `Bearer ${token}` } : options.headers;
  const answer = await fetch(new URL(path, BASE), { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refused("the service does not answer; is it still running?", 0);
  });
  if (answer.status === 401 && (await unlocked(token))) return ask(path, options);
  if (!answer.ok) throw new Refused(await complaint(answer), answer.status);
  return answer;
}

/** Whether there is another token to try than the one that was refused: several requests wait for one answer. */
async function unlocked(refused) {
  if (localStorage.getItem(TOKEN) !== refused) return true;
  asking ??= askForToken(refused !== null).finally(() => { asking = null; });
  const token = await asking;
  if (token) localStorage.setItem(TOKEN, token);
  return Boolean(token);
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
export const exportLayers = async (request) => (await post("exports", request)).blob();
export const readPicture = async (address) => (await ask(address)).blob();

/** How far a run is, as it goes, until it ends. Where the line breaks, it is taken up again: each event tells everything. */
export async function* follow(id, signal) {
  for (;;) {
    try {
      for await (const progress of eventsOf(await ask(`runs/${id}/events`, { signal }))) {
        yield progress;
        if (ENDED.includes(progress.status)) return;
      }
    } catch (error) {
      if (signal.aborted || error.status) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Server-sent events, read from an answer: EventSource would not tell why it was refused. */
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
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}
