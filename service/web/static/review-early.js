// What a review needs from the server, asked for while the page's other modules are still on their way: who one is, the
// job, its review, and the slice that is shown first.

import { ask, getJson, hasToken, Refused, whoAmI } from "./api.js";

export const jobId = location.pathname.split("/").pop();
let begun = null;

// All of it as promises. Asked for once; whoever takes it leaves nothing, so that after signing in all is asked again.
function begin() {
  if (begun) return begun;
  const session = whoAmI();
  const review = getReview();
  begun = { session, job: getJson(`/api/v1/jobs/${jobId}`), review, slice: review.then(getFirstSlice) };
  for (const promise of Object.values(begun)) promise.catch(() => {}); // told where it is awaited
  return begun;
}

export function take() {
  const taken = begin();
  begun = null;
  return taken;
}

// A result without a review is a refusal that the page explains.
async function getReview() {
  try {
    return await getJson(`/api/v1/jobs/${jobId}/review`);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return error;
    throw error;
  }
}

// The middle of the first structure, which is the target: as the review counts slices.
export function firstSlice({ structures: [target], grid }) {
  const slices = [...new Set((target?.contours.mean ?? []).map((ring) => ring.slice_index))].sort((a, b) => a - b);
  return slices[Math.floor(slices.length / 2)] ?? Math.floor(grid.size_xyz[2] / 2);
}

async function getFirstSlice(review) {
  if (review instanceof Refused) return null;
  const index = firstSlice(review);
  const answer = await ask(`/api/v1/jobs/${jobId}/slices/${index}`);
  return { index, stored: await answer.arrayBuffer() };
}

// Whom the server would refuse is asked for a token first.
const mayAsk = () => hasToken() || document.documentElement.dataset.mayAsk === "yes";

export async function whoAsks() {
  if (!mayAsk()) return whoAmI();
  try {
    return await begin().session;
  } catch (error) {
    begun = null;
    throw error;
  }
}

if (mayAsk()) begin();
