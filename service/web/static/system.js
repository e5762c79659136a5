// The system page, for whoever runs Penumbra.

import { loadPeers } from "./peers.js";
import { enter } from "./shell.js";

enter(loadPeers);
