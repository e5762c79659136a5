// The worklist: its list, its filters, the way in for a series, and the stream of changes.

import { followForEver } from "./follow.js";
import { refreshTimes, update } from "./jobs.js";
import * as list from "./list.js";
import * as sending from "./sending.js";
import { enter, setConnection } from "./shell.js";

list.begin();
sending.begin();
setInterval(refreshTimes, 30_000);
setConnection("connecting");
enter(() => followForEver(list.load, update));
