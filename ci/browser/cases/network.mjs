// The network: its policy, its names, and how the world finds the box.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Box, freePort, startFront, startStun, until } from "../box.mjs";
import { PHONE, claim, ensure, fit, logIn, scanConsole, shoot, watched } from "../page.mjs";
import { OUT, PASSWORD, state } from "../state.mjs";

// The policy: checked while it is typed, with its tests; what changes is shown; why; and back to an older version.
export async function policy() {
  const { box } = state;
  const context = await state.browser.newContext(PHONE);
  const page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/policy`);
  const text = (dst, test) => `{"grants": [{"src": ["*"], "dst": ["${dst}"], "ip": ["tcp:22"]}], "tests": [{"src": "anna@", "accept": ["${test}"]}]}`;
  await page.fill("#policy", "{ nothing");
  await page.waitForSelector("#problem");
  const wrong = await page.textContent("#problem");
  await page.fill("#policy", text("anna@", "anna@:80").replace("anna@:80", "100.64.0.1:80"));
  await page.waitForFunction((old) => { const p = document.querySelector("#problem"); return p && p.textContent !== old; }, wrong);
  ensure((await page.textContent("#problem")).includes("test(s) failed"), `a failing test is shown: ${await page.textContent("#problem")}`);
  await fit(page, "a policy that is refused");
  await page.click("button[value=save]");
  await page.waitForSelector("#problem");
  ensure(box.cli("policy", "get").policy === "", "what is refused is not saved");
  await page.fill("#policy", text("anna@", "100.64.0.1:22"));
  await page.waitForSelector("#fine");
  ensure((await page.textContent("#checked")).includes("No longer allowed"), "what is lost is shown");
  await fit(page, "a policy that is fine");
  await shoot(page, "policy-checked");
  await page.click("button[value=save]");
  await page.waitForSelector("text=Version 1");
  await page.goto(`${box.url}/admin/policy/reach?from=annas-laptop&to=pocket:80`);
  ensure((await page.textContent("#answer")).includes("No:"), "port 80 is closed");
  await page.goto(`${box.url}/admin/policy/reach?from=annas-laptop&to=pocket:22`);
  ensure((await page.textContent("#answer")).includes("grants[0]"), "the rule is named");
  await fit(page, "why");
  await shoot(page, "policy-why");
  await page.goto(`${box.url}/admin/policy`);
  await page.fill("#policy", '{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}');
  await page.waitForSelector("text=Newly allowed");
  await page.click("button[value=save]");
  await page.waitForSelector("text=Version 2");
  await page.goto(`${box.url}/admin/policy/history`);
  await fit(page, "versions");
  await page.click("form[action='/admin/policy/rollback'] button");
  await page.waitForSelector("text=Version 3");
  const now = box.cli("policy", "get");
  ensure(now.policy.includes("tcp:22") && now.author === "rollback to 1", `${now.author}: ${now.policy}`);
  await context.close();
  return "refused, checked while typed, explained, gone back to";
}

// DNS: what is wrong is refused with its line, what is right reaches the client.
export async function dns() {
  const { box } = state;
  const context = await state.browser.newContext(PHONE);
  const page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/dns`);
  await page.fill("#records", "printer.lan nowhere");
  await page.click("form[action='/admin/dns'] button");
  ensure((await page.textContent(".note.bad")).includes("printer.lan nowhere"), "the wrong line is named");
  await page.fill("#records", "printer.lan 192.168.1.9");
  await page.fill("#search", "home.arpa");
  await page.click("form[action='/admin/dns'] button");
  await page.waitForSelector("dd:has-text('printer.lan 192.168.1.9')");
  await fit(page, "DNS with a name");
  await shoot(page, "dns");
  await until("the client to learn it", () => state.client.run("dns", "status", "--all").includes("home.arpa"), 20);
  await context.close();
  return "refused by line, then known to the client";
}

// A name that follows the box's address: set on a phone, tried at once, its secret shown nowhere, given up again. A STUN
// server says what the public address is, so that it is tried wherever this runs.
export async function dyndns() {
  const dir = join(OUT, "dyndns");
  const stun = await startStun("203.0.113.7");
  mkdirSync(dir, { recursive: true });
  const relays = join(dir, "relays.json");
  const node = { Name: "950a", RegionID: 950, HostName: "localhost", STUNPort: stun.address().port, STUNOnly: true };
  writeFileSync(relays, JSON.stringify({ Regions: { 950: { RegionID: 950, RegionCode: "stun", RegionName: "STUN", Nodes: [node] } } }));
  const box = await Box.start(process.env.HEARTHGATE, dir, undefined, { HEARTHGATE_DERP_PATHS: relays });
  const context = await state.browser.newContext(PHONE);
  const page = await watched(context, state.trouble);
  await page.goto(`${box.url}/admin/`);
  await claim(page, box, PASSWORD);
  const heard = [];
  const service = createServer((request, answer) => { heard.push([request.url, request.headers.authorization]); answer.end("good"); });
  const port = await freePort();
  await new Promise((done) => service.listen(port, "127.0.0.1", done));
  const set = async (name, secret) => {
    await page.goto(`${box.url}/admin/setup`);
    await page.click("#dyndns > summary");
    await page.click("summary:has-text('Another service that speaks dyndns2')");
    await page.fill("#dyndns-dyndns2-name", name);
    if (secret) {
      await page.fill("#dyndns-dyndns2-url", `http://127.0.0.1:${port}`);
      await page.fill("#dyndns-dyndns2-user", "anna");
      await page.fill("#dyndns-dyndns2-secret", secret);
    }
    await page.selectOption("#dyndns-dyndns2-families", "4");
    await fit(page, "a dynamic name");
    await shoot(page, "dyndns");
    await page.click("form:has(input[value='dyndns2']) button");
    await page.waitForLoadState();
  };
  await set("home", "S3cret-in-no-page");
  ensure((await page.textContent(".note.bad")).includes("no whole name"), "a name that is none is refused");
  ensure(heard.length === 0, "nobody is asked about it");
  await set("home.example.org", "S3cret-in-no-page");
  const [seen, whole] = [box.cli("dyndns", "status"), await page.content()];
  ensure(seen.state === "good" && seen.ipv4 && !seen.ipv6, `${JSON.stringify(seen)}: ${heard}`);
  ensure(whole.includes(`home.example.org leads to ${seen.told}`), "the page says where it leads");
  const login = Buffer.from("anna:S3cret-in-no-page").toString("base64");
  const asked = `/nic/update?hostname=home.example.org&myip=${seen.told}`;
  ensure(heard.length === 1 && heard[0][1] === `Basic ${login}` && heard[0][0] === asked, `${heard}`);
  // Sent again without what is secret: what was set stays.
  await set("home.example.org");
  const again = box.cli("dyndns", "status");
  ensure(again.user === "anna" && again.told === seen.told && !again.ipv6 && heard.length === 1, JSON.stringify(again));
  await page.goto(`${box.url}/admin/events`);
  const everywhere = whole + (await page.content()) + JSON.stringify(seen) + readFileSync(box.log, "utf8");
  ensure(!everywhere.includes("S3cret") && !everywhere.includes(Buffer.from("S3cret").toString("base64")), "the secret is shown nowhere");
  await page.goto(`${box.url}/admin/setup`);
  await page.click("summary:has-text('Give the name up')");
  await page.click("form[action='/admin/setup/dyndns/remove'] button");
  await page.waitForLoadState();
  ensure(box.cli("dyndns", "status").state === "none", "it is gone");
  service.close();
  stun.close();
  await context.close();
  return `set and told ${seen.told} at once, set again without its secret, which is shown nowhere`;
}

// The switch that lets the household's router open the way: off until the owner says so, and off again.
export async function portmap() {
  const { box } = state;
  const context = await state.browser.newContext(PHONE);
  const page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  await page.goto(`${box.url}/admin/setup`);
  ensure(box.cli("portmap", "status").on === false, "off until somebody says so");
  await page.click("#ports > summary");
  await fit(page, "a way in");
  await shoot(page, "portmap");
  await page.click("#ports button");
  await page.waitForLoadState();
  ensure(box.cli("portmap", "status").on === true, "the button switches it on");
  await until("what became of it", async () => {
    await page.goto(`${box.url}/admin/setup`);
    return (await page.textContent("main")).includes("There is no port to open");
  });
  await page.click("summary:has-text('Let the router close the way again')");
  await page.click("details[open] form[action='/admin/setup/portmap'] button");
  await page.waitForLoadState();
  const off = box.cli("portmap", "status");
  ensure(off.on === false && off.chosen === true, JSON.stringify(off));
  await page.click("form[action='/admin/setup/portmap/configured'] button");
  await page.waitForLoadState();
  ensure(box.cli("portmap", "status").chosen === false, "as the configuration says");
  await context.close();
  return "off, on, off, and as configured";
}

// A front's line, scanned from its terminal: it opens the setup page through the login, filled in, and leaves no trace.
// Then the front looks at the box from outside, which on one machine it must not call outside.
export async function front() {
  const box = await Box.start(process.env.HEARTHGATE, join(OUT, "fronted"), "box.test");
  const printed = await startFront(process.env.HEARTHGATE, join(OUT, "front"), box.url);
  const url = scanConsole(printed);
  const line = /^ {2}(hgfront-\S+)$/m.exec(printed)[1];
  ensure(url === `${box.url}/admin/setup#front=${line}`, `the code leads to ${url}`);
  const context = await state.browser.newContext({ ...PHONE, ignoreHTTPSErrors: true });
  const page = await watched(context, state.trouble);
  const asked = [];
  page.on("request", (r) => asked.push(`${r.url()} ${JSON.stringify(r.headers())} ${r.method() === "GET" ? r.postData() : ""}`));
  await page.goto(`${box.url}/admin/`);
  await claim(page, box, PASSWORD);
  await page.click("form[action='/admin/logout'] button");
  await page.waitForURL(/login$/);

  await page.goto("about:blank");
  await page.goto(url);
  await page.waitForURL(/login$/);
  await page.fill("#name", "anna");
  await page.fill("#password", PASSWORD);
  await page.click("form[action='/admin/login'] button");
  await page.waitForURL(/setup$/);
  await page.waitForFunction((line) => document.getElementById("pairing")?.value === line, line);
  ensure(await page.evaluate(() => sessionStorage.length === 0), "the line stays nowhere else");
  ensure(asked.every((a) => !a.includes(line)), "the line was not sent by itself");
  await fit(page, "a scanned line");
  await shoot(page, "front-scanned");
  await page.click("form[action='/admin/setup/front'] button");
  await until("the tunnel", async () => {
    await page.goto(`${box.url}/admin/setup`);
    return (await page.textContent("main")).includes("come through the front");
  });
  await page.click("form[action='/admin/setup/front/test'] button");
  await page.waitForSelector("text=says nothing of the outside");
  await fit(page, "a test from outside");
  await shoot(page, "front-test");
  const { outside } = box.cli("front", "status");
  // An address that is not of the Internet is not knocked at.
  ensure(!outside.ours && outside.tcp === "skipped" && !outside.reachable, JSON.stringify(outside));
  ensure(outside.findings[0].includes("127.0.0.1, which is no address of the Internet"), JSON.stringify(outside));
  ensure(!readFileSync(box.log, "utf8").includes(line), "the line is in no log of the box");
  await context.close();
  return "scanned, through the login, paired, tested from outside";
}
