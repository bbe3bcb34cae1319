// Other sites, and somebody who guesses.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { freePort, until } from "../box.mjs";
import { ensure, logIn, watched } from "../page.mjs";
import { PASSWORD, state } from "../state.mjs";

// Another site cannot act for somebody who is logged in, nor read the pages under its own name.
export async function otherSites() {
  const { box } = state;
  const port = await freePort();
  const before = box.cli("users", "list").length;
  const attack = `<form id=f method=post action="${box.url}/admin/user"><input name=name value=intruder></form><script>f.submit()</script>`;
  const site = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(attack));
  await new Promise((done) => site.listen(port, "127.0.0.1", done));
  const context = await state.browser.newContext();
  const page = await watched(context, state.trouble);
  await logIn(page, box.url, "anna", PASSWORD);
  const forged = page.waitForResponse((r) => r.url().endsWith("/admin/user"));
  await page.goto(`http://evil.test:${port}/`).catch(() => {});
  ensure((await forged).status() === 403, "a forged form is refused");
  const asked = await page.goto(`http://evil.test:${box.port}/admin/login`);
  ensure(asked.status() === 403, `rebinding: ${asked.status()}`);
  ensure(!(await asked.text()).includes("<form"), "rebinding shows no page");
  await page.goto(`${box.url}/admin/`);
  const same = await page.evaluate(async () => (await fetch("/admin/user", { method: "POST", body: new URLSearchParams({ name: "intruder" }) })).status);
  ensure(same === 403, "a form without the token is refused");
  ensure(box.cli("users", "list").length === before, "nothing was made");
  const cookies = await context.cookies();
  const cookie = cookies.find((c) => c.name === "hearthgate_session");
  ensure(cookie.httpOnly && cookie.sameSite === "Strict", "the cookie is for our own pages and not for scripts");
  site.close();
  await context.close();
  return "forged form, missing token, rebinding: refused";
}

// Guessing is slow, and a lost password is reset from the console.
export async function guessing() {
  const { box } = state;
  const tryOnce = (password) =>
    fetch(`${box.url}/admin/login`, { method: "POST", redirect: "manual", body: new URLSearchParams({ name: "anna", password }) }).then((a) => a.status);
  const answers = [];
  for (let i = 0; i < 12; i += 1) answers.push(await tryOnce(`guess number ${i}`));
  const refused = answers.filter((s) => s === 429).length;
  ensure(answers[0] === 401 && refused >= 6, `answers ${answers.join(" ")}`);
  ensure((await tryOnce(PASSWORD)) === 429, "the right one has to wait too");
  const reset = box.cli("admin", "reset-password");
  ensure(/^[a-z0-9]{4}(-[a-z0-9]{4}){2}$/.test(reset.code), "a new code");
  await until("the throttle to let one try through", async () => {
    const answer = await fetch(`${box.url}/admin/claim`, {
      method: "POST", redirect: "manual", body: new URLSearchParams({ code: reset.code, name: "anna", password: `${PASSWORD} 2` }),
    });
    return answer.status === 303;
  }, 30);
  const events = readFileSync(box.log, "utf8");
  ensure(!events.includes(PASSWORD), "no password in the log");
  return `${refused} of 12 guesses were not even looked at`;
}
