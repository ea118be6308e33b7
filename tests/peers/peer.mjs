// Libraries of others, from where `ops/check` has installed them.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.ADVISOR_TEST_NODE_PEERS}/package.json`);

/** The library of this name, whichever kind of module it is. */
export const peer = (name) => import(pathToFileURL(require.resolve(name)));
