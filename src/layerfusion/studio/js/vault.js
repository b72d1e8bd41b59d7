// What survives a reload: works, every step of their history, their takes and pictures, in the browser's own database.

const NAME = "layerfusion-studio";

const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    const base = request.result;
    base.createObjectStore("works", { keyPath: "id" });
    base.createObjectStore("steps", { keyPath: ["work", "number"] });
    base.createObjectStore("takes", { keyPath: ["work", "number"] });
    base.createObjectStore("pictures", { keyPath: ["work", "id"] });
  };
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(new Error("this browser keeps nothing for this page; allow it to store data."));
});

const finished = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function within(stores, mode, act) {
  const base = await opened;
  const transaction = base.transaction(stores, mode);
  const done = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () =>
      reject(new Error("this browser has no room left for the work; delete an old one under Works."));
  });
  const result = await act(...stores.map((name) => transaction.objectStore(name)));
  await done;
  return result;
}

const all = (work) => IDBKeyRange.bound([work], [work, []]);

/** Every work, the last changed first: {id, title, changed, cursor, running, cover}. */
export async function listWorks() {
  const works = await within(["works"], "readonly", (store) => finished(store.getAll()));
  return works.sort((one, other) => other.changed - one.changed);
}

export const saveWork = (work) => within(["works"], "readwrite", (store) => finished(store.put(work)));

/** Write a step of a work's history and forget the ones after it, with where in the history the work is. */
export const saveStep = (work, number, step) =>
  within(["works", "steps"], "readwrite", (works, steps) => {
    works.put(work);
    steps.delete(IDBKeyRange.bound([work.id, number], [work.id, Infinity]));
    return finished(steps.put({ ...step, work: work.id, number }));
  });

export const readSteps = (work) =>
  within(["steps"], "readonly", (steps) => finished(steps.getAll(all(work))));

export const savePicture = (work, id, blob) =>
  within(["pictures"], "readwrite", (pictures) => finished(pictures.put({ work, id, blob })));

export const readPicture = async (work, id) =>
  (await within(["pictures"], "readonly", (pictures) => finished(pictures.get([work, id]))))?.blob;

/** A take with its pictures, {id: blob}. */
export const saveTake = (work, number, take, blobs) =>
  within(["takes", "pictures"], "readwrite", (takes, pictures) => {
    for (const [id, blob] of Object.entries(blobs)) pictures.put({ work, id, blob });
    return finished(takes.put({ ...take, work, number }));
  });

export const readTakes = (work) => within(["takes"], "readonly", (takes) => finished(takes.getAll(all(work))));

export const deleteWork = (work) =>
  within(["works", "steps", "takes", "pictures"], "readwrite", (works, steps, takes, pictures) => {
    works.delete(work);
    steps.delete(all(work));
    takes.delete(all(work));
    return finished(pictures.delete(all(work)));
  });
