// What the cases share: the box that the newcomer claimed, the browser, and what went wrong on any page.

export const OUT = process.env.OUT;
export const PASSWORD = "correct horse battery";
export const EVIL = `<img src=x onerror=alert('xss')>`;
export const PAGES = ["devices", "map", "join", "routes", "users", "account", "keys", "policy", "policy/reach?from=annas-laptop&to=anna", "policy/history", "dns", "relays", "health", "events", "system", "setup"];
/** `box` and `client` are the newcomer's. `trouble`: dialogs, errors of scripts, and whatever broke a page's own content policy. */
export const state = { trouble: [] };
