// What is asked of the service. Pictures are uploaded first, and named by what the service calls them.

import * as api from "./api.js";
import { given } from "./blend.js";
import { picture } from "./pictures.js";

const said = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== "" && value !== undefined));

const sent = async (image) => (image === null ? null : (await api.upload(picture(image).blob)).id);

/** The form as a request: what is empty is left to the model. */
export async function requestOf({ subjects, background, photo, size, ...rest }) {
  const [width, height] = size ?? [];
  const common = said({ ...rest, width, height, background_prompt: background, background_image: await sent(photo) });
  const each = await Promise.all(subjects.map(async ({ prompt, box, image }) => said({ prompt, box, image: await sent(image) })));
  return { ...asSubjects(each), ...common };
}

/** The layers as they lie, as a request: the cut-outs and the scene are given, their blend is made anew. */
export async function requestToBlend(doc) {
  const { subjects, scene, used, size } = await given(doc);
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
