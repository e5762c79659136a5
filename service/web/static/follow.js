// The stream of all jobs' changes, taken up again whenever it breaks.

import { events } from "./api.js";
import { isLockedOut, setConnection } from "./shell.js";

const RECONNECT_MS = 2000;

// `load` is called once nothing can be missed any more, `show` with every job that changes. Ends by a refusal only.
export async function followForEver(load, show) {
  for (;;) {
    try {
      await follow(load, show);
    } catch (error) {
      if (isLockedOut(error)) throw error;
    }
    setConnection("reconnecting");
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

async function follow(load, show) {
  for await (const event of events("/api/v1/events")) {
    if (event.name === "ready") {
      await load();
      setConnection("live");
    } else if (event.name === "job") {
      show(JSON.parse(event.data));
    }
  }
}
