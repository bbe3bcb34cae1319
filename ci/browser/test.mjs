// Runs the cases. Each says what it did and what it measured; the first that fails ends the run with status 1.

import { chromium } from "playwright-core";
import { stopAll } from "./box.mjs";
import { approval, device, hostileName, keyboard, newcomer, noScript } from "./cases/devices.mjs";
import { dns, dyndns, front, policy, portmap } from "./cases/network.mjs";
import { passkeys } from "./cases/passkeys.mjs";
import { guessing, otherSites } from "./cases/strangers.mjs";
import { pages, restore, tools } from "./cases/upkeep.mjs";
import { ensure } from "./page.mjs";
import { OUT, state } from "./state.mjs";

// In this order: the first claims the box that most others stand on, the last resets its password.
const cases = { newcomer, pages, noScript, keyboard, approval, hostileName, policy, dns, restore, tools, dyndns, portmap, device, otherSites, passkeys, front, guessing };

const wanted = process.argv.slice(2);
if (wanted[0] === "--list") {
  console.log(Object.keys(cases).join("\n"));
  process.exit(0);
}
state.browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP box.test 127.0.0.1"],
});
let failed = false;
const begun = Date.now();
try {
  for (const [name, run] of Object.entries(cases)) {
    if (wanted.length && name !== "newcomer" && !wanted.includes(name)) continue;
    const told = await run();
    ensure(state.trouble.length === 0, state.trouble.join("\n"));
    console.log(`PASS ${name}: ${told}`);
  }
} catch (e) {
  failed = true;
  console.log(`FAIL ${e.stack}`);
}
console.log(`${((Date.now() - begun) / 1000).toFixed(0)} s; screenshots and logs are in ${OUT}`);
await state.browser.close();
stopAll();
process.exit(failed ? 1 : 0);
