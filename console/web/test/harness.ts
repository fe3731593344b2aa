// A real server with the demo bank on it, and a browser at it.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";

const artifacts = new URL("../artifacts/", import.meta.url).pathname;

/** The program that is tested; tools/console.sh builds it. */
export const binary = process.env["STERLING_BIN"] ?? new URL("../../../bin/sterling", import.meta.url).pathname;

const browsers = [process.env["CHROMIUM"] ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Where Chromium is; undefined where there is none, and the tests are skipped. */
export const browserPath = browsers.find((p) => p !== "" && existsSync(p));

/** A server in a folder of its own. */
export class Server {
  private child: ChildProcess | undefined;
  readonly data = mkdtempSync(join(tmpdir(), "sterling-console-"));
  url = "";

  /** Starts it, at the port it had before if it was stopped. */
  async start(demo = true, more: string[] = []): Promise<void> {
    const listen = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const child = spawn(binary, ["up", "--data", join(this.data, "d"), "--listen", listen, ...(demo ? ["--demo"] : []), ...more], { stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    this.url = await new Promise<string>((resolve, reject) => {
      let out = "";
      let err = "";
      child.stdout.on("data", (b: Buffer) => {
        out += b.toString();
        const m = /ready on (\S+)/.exec(out);
        if (m) resolve(m[1]!);
      });
      child.stderr.on("data", (b: Buffer) => (err += b.toString()));
      child.on("exit", (code) => reject(new Error(`sterling up ended with ${code}: ${err}`)));
    });
  }

  /** Kills it, as a crash does. */
  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }

  token(): string {
    return readFileSync(join(this.data, "d", "admin.token"), "utf8").trim();
  }

  /** Makes a token for another person. */
  newToken(name: string, role: string): string {
    const out = execFileSync(binary, ["token", "create", name, "--role", role, "--data", join(this.data, "d")], { encoding: "utf8" });
    return /sterling_[0-9a-f]{32}_[0-9a-f]{64}/.exec(out)![0];
  }

  /** Calls the API as JSON over HTTP. */
  async call<T>(method: string, body: unknown, token = this.token()): Promise<T> {
    const response = await fetch(`${this.url}/sterling.ledger.v1.${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}

/** A browser whose pages may neither err nor break the page's own policy. */
export class Person {
  private browser: Browser | undefined;
  /** What the pages complained about; must stay empty. */
  readonly complaints: string[] = [];

  async open(): Promise<void> {
    mkdirSync(artifacts, { recursive: true });
    this.browser = await chromium.launch({ executablePath: browserPath!, args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });
  }

  /** A window of its own, as another person would have. */
  async window(options: BrowserContextOptions = {}): Promise<{ context: BrowserContext; page: Page }> {
    const context = await this.browser!.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    page.on("pageerror", (e) => this.complaints.push(`page: ${e.message}`));
    page.on("console", (m) => {
      // The browser itself reports failed loads; the tests fail some on purpose.
      if (m.type() === "error" && !/Failed to load resource|net::ERR/.test(m.text())) this.complaints.push(`console: ${m.text()}`);
    });
    return { context, page };
  }

  async close(): Promise<void> {
    await this.browser?.close();
  }
}

/** Signs in and waits for the first page. */
export async function signIn(page: Page, url: string, token: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByTestId("clock").waitFor();
}

/** Keeps what the page looks like. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.evaluate(() => document.fonts.ready);
  await page.mouse.move(1, 1);
  await page.screenshot({ path: join(artifacts, `${name}.png`) });
}
