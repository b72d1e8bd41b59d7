// Placements: six numbers [a, b, c, d, e, f] from a layer's pixels to the canvas, x' = a·x + b·y + c, y' = d·x + e·y + f,
// as the service and the layered files have them. The browser's matrices hold the same numbers in another order.

export const IDENTITY = [1, 0, 0, 0, 1, 0];

export const toMatrix = ([a, b, c, d, e, f]) => new DOMMatrix([a, d, b, e, c, f]);
export const fromMatrix = ({ a, b, c, d, e, f }) => [a, c, e, b, d, f];

export function apply([a, b, c, d, e, f], x, y) {
  return { x: a * x + b * y + c, y: d * x + e * y + f };
}

/** Canvas position of the middle of a layer's subject: what scaling, turning and flipping keep in place. */
export function middle({ box: [left, top, right, bottom], placement }) {
  return apply(placement, (left + right) / 2, (top + bottom) / 2);
}

/** Corners of the subject's box on the canvas, clockwise from its own top left. */
export function corners({ box: [left, top, right, bottom], placement }) {
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => apply(placement, x, y));
}

/** Flip first, then scale, then turn: {scaleX, scaleY, degrees, flipped}. */
export function parts([a, b, , d, e]) {
  const flipped = a * e - b * d < 0;
  const sign = flipped ? -1 : 1;
  return {
    scaleX: Math.hypot(a, d),
    scaleY: Math.hypot(b, e),
    degrees: (Math.atan2(sign * d, sign * a) * 180) / Math.PI,
    flipped,
  };
}

/** A placement after a further map about a canvas point. */
export function about(placement, { x, y }, change) {
  return fromMatrix(new DOMMatrix().translate(x, y).multiply(change).translate(-x, -y).multiply(toMatrix(placement)));
}

export const moved = (placement, x, y) => fromMatrix(new DOMMatrix().translate(x, y).multiply(toMatrix(placement)));

export const same = (one, other) => one.every((number, i) => Math.abs(number - other[i]) < 1e-9);
