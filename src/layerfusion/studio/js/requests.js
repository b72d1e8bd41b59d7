// What is asked of the service. Pictures are uploaded first, and named by what the service calls them.

import * as api from "./api.js";
import * as blend from "./blend.js";
import { fitted, picture } from "./pictures.js";

const said = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== "" && value !== undefined));

/** The form as a request: what is empty is left to the model. Pictures are brought to the size that is drawn. */
export async function requestOf({ subjects, background, photo, size, ...rest }) {
  const given = photo !== null || subjects.some(({ image }) => image !== null);
  const paper = given ? size ?? shapedAs(photo && picture(photo).size, await api.describeModel()) : size;
  const sent = async (image, how) => (image === null ? null : (await api.upload(await fitted(image, paper, how))).id);
  const [width, height] = paper ?? [];
  const common = said({ ...rest, width, height, background_prompt: background, background_image: await sent(photo, "cover") });
  const each = await Promise.all(subjects.map(async ({ prompt, box, image }) => said({ prompt, box, image: await sent(image, box ? "alone" : "contain") })));
  return { ...asSubjects(each), ...common };
}

/** The model's own area in the shape of a photo, if there is one. */
function shapedAs(photo, { size, multiple }) {
  const [width, height] = photo ?? size;
  const area = Math.sqrt((size[0] * size[1]) / (width * height));
  const step = multiple ?? 64;
  return [width, height].map((side) => Math.max(step, Math.round((side * area) / step) * step));
}

/** The layers as they lie, as a request: the cut-outs and the scene are given, their blend is made anew. */
export async function requestToBlend(doc) {
  const { subjects, scene, used, size } = await blend.given(doc);
  const upload = async (blob) => (await api.upload(blob)).id;
  const each = await Promise.all(subjects.map(async ({ prompt, blob }) => ({ prompt, image: await upload(blob) })));
  const { background, harmony, seed, steps, guidance_scale } = doc.form;
  const rest = said({ harmony, seed, steps, guidance_scale, background_prompt: background || "a scene" });
  return { ...asSubjects(each), ...rest, background_image: await upload(scene), width: size[0], height: size[1], used };
}

/** One subject that may stand anywhere is asked for in the plain way. */
function asSubjects(each) {
  if (each.length > 1 || each[0].box) return { foregrounds: each };
  return said({ foreground_prompt: each[0].prompt, foreground_image: each[0].image });
}
