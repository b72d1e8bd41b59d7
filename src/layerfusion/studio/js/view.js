// Where the paper lies on the stage, and how large: fitted to the room there is until someone zooms.

import { clamp } from "./dom.js";

const [LEAST, MOST, MOST_FITTED] = [0.05, 16, 4]; // a small picture is fitted at up to four times its size
const ROOM = { wide: { x: 40, top: 40, bottom: 84 }, narrow: { x: 12, top: 10, bottom: 62 } };

export class View extends EventTarget {
  zoom = 1;
  x = 0; // of the paper's corner on the stage, in screen pixels
  y = 0;
  #fitted = true;
  #size = [1, 1];
  #room = [1, 1];

  /** The paper's size, and that of the stage. */
  resize(size, room) {
    const other = size[0] !== this.#size[0] || size[1] !== this.#size[1];
    [this.#size, this.#room] = [size, room];
    if (this.#fitted || other) this.fit();
    else this.#tell();
  }

  fit() {
    const [width, height] = this.#room;
    const { x, top, bottom } = width < 600 ? ROOM.narrow : ROOM.wide;
    const [free, tall] = [Math.max(40, width - 2 * x), Math.max(40, height - top - bottom)];
    this.zoom = Math.min(free / this.#size[0], tall / this.#size[1], MOST_FITTED);
    this.x = (width - this.#size[0] * this.zoom) / 2;
    this.y = top + (tall - this.#size[1] * this.zoom) / 2;
    this.#fitted = true;
    this.#tell();
  }

  /** Zoom by a factor about a point of the stage, its middle where none is given. */
  zoomBy(factor, at = { x: this.#room[0] / 2, y: this.#room[1] / 2 }) {
    const zoom = clamp(this.zoom * factor, LEAST, MOST);
    this.x = at.x - ((at.x - this.x) * zoom) / this.zoom;
    this.y = at.y - ((at.y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.#fitted = false;
    this.#tell();
  }

  /** Move the paper by screen pixels; a corner of it stays on the stage. */
  panBy(x, y) {
    const [width, height] = this.#size.map((side) => side * this.zoom);
    this.x = clamp(this.x + x, 60 - width, this.#room[0] - 60);
    this.y = clamp(this.y + y, 60 - height, this.#room[1] - 60);
    this.#fitted = false;
    this.#tell();
  }

  /** A point of the stage on the paper. */
  toPaper({ x, y }) {
    return { x: (x - this.x) / this.zoom, y: (y - this.y) / this.zoom };
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
