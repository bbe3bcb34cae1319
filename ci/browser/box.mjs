// The server under test and official clients beside it, as processes of this machine.
//
// The clients run in userspace mode: they need no rights and no TUN device, and join like any other.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, openSync } from "node:fs";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const running = [];

/** A TCP port that is free now. */
export const freePort = () =>
  new Promise((done, failed) => {
    const probe = createServer();
    probe.once("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

/** Starts a program whose output goes to a file; it ends with the test. */
function start(program, args, log, env = {}) {
  const out = openSync(log, "a");
  const child = spawn(program, args, { stdio: ["ignore", out, out], env: { ...process.env, ...env } });
  running.push(child);
  return child;
}

/** Ends everything that was started, by its own handle. */
export function stopAll() {
  for (const child of running.splice(0)) child.kill("SIGTERM");
}

/** Waits until `check` answers something, at most `seconds`. */
export async function until(what, check, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await sleep(100);
  }
}

/** A fresh server with its command line. */
export class Box {
  /** With a `name` it is seen over TLS under that name, with the certificate that it makes itself. */
  static async start(program, dir, name, env = {}) {
    const box = new Box();
    mkdirSync(dir, { recursive: true });
    const port = await freePort();
    box.program = program;
    box.url = `http://127.0.0.1:${port}`;
    box.port = port;
    box.env = {
      HEARTHGATE_STATE_DIR: join(dir, "state"),
      HEARTHGATE_LISTEN_ADDR: `127.0.0.1:${port}`,
      HEARTHGATE_SERVER_URL: box.url,
      HEARTHGATE_DERP_SERVER_STUN_LISTEN_ADDR: `127.0.0.1:${await freePort()}`,
      ...env,
    };
    const health = `${box.url}/health`;
    if (name) {
      box.url = `https://${name}:${port}`;
      Object.assign(box.env, { HEARTHGATE_SERVER_URL: box.url, HEARTHGATE_ADMIN_HOSTS: name });
    }
    box.log = join(dir, "server.log");
    box.child = start(program, ["serve"], box.log, box.env);
    await until("the server", async () => {
      if (box.child.exitCode !== null) throw new Error(readFileSync(box.log, "utf8"));
      return fetch(health).then((a) => a.ok, () => false);
    });
    return box;
  }

  /** Runs a command of the command line and answers its JSON. */
  cli(...words) {
    const done = spawnSync(this.program, [...words, "-o", "json"], { encoding: "utf8", env: { ...process.env, ...this.env } });
    if (done.status !== 0) throw new Error(`${words.join(" ")}: ${done.stderr}`);
    return JSON.parse(done.stdout);
  }

  /** The setup code, as the log shows it. */
  setupCode() {
    const code = /^ {2}([a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4})$/m.exec(readFileSync(this.log, "utf8"));
    if (!code) throw new Error("there is no setup code in the log");
    return code[1];
  }
}

/** A STUN server (RFC 8489) on this machine that tells everybody the same IPv4 address. */
export async function startStun(address) {
  const COOKIE = 0x2112a442;
  const socket = createSocket("udp4");
  socket.on("message", (asked, from) => {
    if (asked.length < 20 || asked.readUInt16BE(0) !== 1 || asked.readUInt32BE(4) !== COOKIE) return;
    const told = Buffer.alloc(32);
    told.writeUInt16BE(0x0101, 0);
    told.writeUInt16BE(12, 2);
    asked.copy(told, 4, 4, 20);
    told.writeUInt16BE(0x0020, 20);
    told.writeUInt16BE(8, 22);
    told.writeUInt16BE(1, 24);
    told.writeUInt16BE(from.port ^ (COOKIE >>> 16), 26);
    const bits = address.split(".").reduce((all, byte) => all * 256 + Number(byte), 0);
    told.writeUInt32BE((bits ^ COOKIE) >>> 0, 28);
    socket.send(told, from.port, from.address);
  });
  await new Promise((done) => socket.bind(0, "127.0.0.1", done));
  return socket;
}

/** A front on this machine; `text` is what it printed. */
export async function startFront(program, dir, page) {
  mkdirSync(dir, { recursive: true });
  const [port, stun] = [await freePort(), await freePort()];
  const log = join(dir, "front.log");
  const words = ["front", "--hostname", "127.0.0.1", "--listen-addr", `127.0.0.1:${port}`, "--box-url", page];
  start(program, [...words, "--stun-listen-addr", `127.0.0.1:${stun}`, "--state-dir", dir], log);
  const text = () => readFileSync(log, "utf8");
  await until("the front's code", () => /\u2588{20}[^]*\u2588{20}/.test(text()));
  return text();
}

/** An official client. */
export class Client {
  /** `hostname` gives its machine another name, which needs root: `tailscale up --hostname` refuses hostile ones. */
  static async start(folder, dir, name, hostname) {
    const client = new Client();
    mkdirSync(dir, { recursive: true });
    client.tailscale = join(folder, "tailscale");
    if (!existsSync(client.tailscale)) throw new Error(`no client in ${folder}: run ci/clients/build`);
    client.name = name;
    client.socket = join(dir, `${name}.sock`);
    client.dir = dir;
    const args = ["--tun=userspace-networking", "--state=mem:", `--statedir=${join(dir, name)}`, `--socket=${client.socket}`, "--port=0"];
    const daemon = [join(folder, "tailscaled"), ...args];
    const renamed = ["unshare", "--uts", "sh", "-c", 'printf %s "$0" >/proc/sys/kernel/hostname && exec "$@"', hostname];
    const [program, ...rest] = hostname ? [...renamed, ...daemon] : daemon;
    start(program, rest, join(dir, `${name}.log`), { TS_NO_LOGS_NO_SUPPORT: "true" });
    await until(`${name}'s socket`, () => existsSync(client.socket));
    return client;
  }

  /** Begins `tailscale up`; what it prints is in `NAME.up.log`. */
  up(...args) {
    const log = join(this.dir, `${this.name}.up.log`);
    start(this.tailscale, [`--socket=${this.socket}`, "up", "--accept-dns=false", ...args], log);
    return log;
  }

  status() {
    const done = spawnSync(this.tailscale, [`--socket=${this.socket}`, "status", "--json"], { encoding: "utf8" });
    return done.status === 0 ? JSON.parse(done.stdout) : {};
  }

  /** Runs a command of its command line and answers what that printed. */
  run(...words) {
    return spawnSync(this.tailscale, [`--socket=${this.socket}`, ...words], { encoding: "utf8" }).stdout;
  }

  /** Waits until it is in the network. */
  joined() {
    return until(`${this.name} to join`, () => this.status().BackendState === "Running", 60);
  }
}
