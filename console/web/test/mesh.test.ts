// The page "Mesh": every state of it by given answers, and a real mesh with real calls.
import { spawn, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Server as HTTPServer } from "node:http";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { join } from "node:path";
import { create, toJson } from "@bufbuild/protobuf";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GetTopologyResponseSchema, MeshFailure, type GetTopologyResponse } from "../src/gen/sterling/ledger/v1/mesh_pb";
import { binary, browserPath, Person, picture, Server, signIn } from "./harness";
import { FakeWatch } from "./watch";

const nanos = (ms: number) => BigInt(ms) * 1_000_000n;

/** A mesh of a bank in which one thing after the other goes wrong. */
function troubled(): GetTopologyResponse {
  const now = Date.now();
  const plane = (service: string, more: object = {}) => ({
    name: `spiffe://bank.example/cell/c1/svc/${service}#pay-1`, kind: "sidecar", generation: 7n, reports: true,
    certificateUntil: nanos(now + 41 * 60_000), requestsPerSecond: 120, failuresPerSecond: 0, ...more,
  });
  return create(GetTopologyResponseSchema, {
    domain: "bank.example", generation: 7n, timestamp: nanos(now),
    refusal: "mesh config rolled back: on the first node, spiffe://bank.example/cell/c1/svc/shop#pay-1: 31 of 60 calls failed, and 0 of 412 before it had it",
    services: [
      { name: "fraud", protocol: "grpc", backends: 2, cells: ["c1"] },
      { name: "ledger", protocol: "grpc", holds: "ledger", backends: 3, cells: ["c1", "c2"] },
      { name: "orders", protocol: "http", backends: 4, cells: ["c1", "c2"] },
      { name: "payments", protocol: "http", backends: 4, cells: ["c1", "c2"] },
      { name: "records", protocol: "tcp", holds: "database", backends: 1, cells: ["c1"] },
      { name: "statements", protocol: "http", backends: 1, cells: ["c2"] },
    ],
    edges: [
      { caller: "app", service: "orders", requestsPerSecond: 1240, p50Seconds: 0.0021, p99Seconds: 0.0184 },
      { caller: "shop", service: "orders", requestsPerSecond: 310.2, p50Seconds: 0.0019, p99Seconds: 0.0171 },
      { caller: "orders", service: "payments", requestsPerSecond: 402, failuresPerSecond: 0, p50Seconds: 0.004, p99Seconds: 0.031, failures: [{ kind: MeshFailure.REFUSED, perSecond: 2 }] },
      { caller: "payments", service: "ledger", requestsPerSecond: 388, p50Seconds: 0.0011, p99Seconds: 0.0049 },
      { caller: "payments", service: "fraud", requestsPerSecond: 390, failuresPerSecond: 46.8, p50Seconds: 0.012, p99Seconds: 1.2, failures: [{ kind: MeshFailure.TIMEOUT, perSecond: 40 }, { kind: MeshFailure.UNREACHABLE, perSecond: 6.8 }] },
      { caller: "orders", service: "records", requestsPerSecond: 3.4, p50Seconds: 0.0004, p99Seconds: 0.0009 },
      { caller: "statements", service: "ledger", requestsPerSecond: 0 },
      { caller: "spiffe://partner.example/cell/p1/svc/gateway", service: "payments", requestsPerSecond: 12, p50Seconds: 0.006, p99Seconds: 0.04 },
    ],
    nodes: [
      plane("orders"),
      plane("payments", {
        failuresPerSecond: 46.8,
        clusters: [{ name: "fraud", endpoints: 2, ejected: 1, inFlight: 31, most: 1024, refused: 12n, shed: 3n }, { name: "ledger", endpoints: 3, inFlight: 4, most: 1024 }],
        routes: [{ name: "fraud/GRPCRoute/fraud:12/0", requests: 9_120n, failures: 1_008n, retries: 512n }],
      }),
      plane("shop", { generation: 6n }),
      plane("statements", { reports: false, kind: "proxyless", certificateUntil: 0n, requestsPerSecond: 0, refusal: "routes I do not like" }),
    ],
  });
}

/** Answers for the control plane. */
async function answer(page: Page, what: GetTopologyResponse): Promise<void> {
  const body = JSON.stringify(toJson(GetTopologyResponseSchema, what, { alwaysEmitImplicit: true }));
  await page.context().route("**/sterling.ledger.v1.MeshService/GetTopology", (r) => r.fulfill({ contentType: "application/json", body }));
}

async function freePort(): Promise<number> {
  const s = createSocket();
  await new Promise<void>((done) => s.listen(0, "127.0.0.1", done));
  const port = (s.address() as AddressInfo).port;
  await new Promise((done) => s.close(done));
  return port;
}

/** A control plane in a server, an HTTP service, and the data planes of it and of its caller. */
class Mesh {
  private readonly planes: ChildProcess[] = [];
  private readonly app: HTTPServer = createServer((_, response) => response.end("ok"));
  port = 0;

  async state(server: Server): Promise<string> {
    await new Promise<void>((done) => this.app.listen(0, "127.0.0.1", done));
    this.port = await freePort();
    const app = (this.app.address() as AddressInfo).port;
    const kind = (name: string, meta: string, spec: string) => `---\n{apiVersion: mesh.sterling.run/v1, kind: ${name}, metadata: {name: ${meta}}, spec: ${spec}}\n`;
    const me = `unix: {uid: ${process.getuid!()}}`;
    writeFileSync(
      join(server.data, "mesh.yaml"),
      kind("Cells", "cells", `{buckets: 1, cells: [{name: c1, region: r1, zone: z1, buckets: ["0"]}]}`) +
        kind("Service", "orders", `{protocol: http, port: ${this.port}, backends: [{cell: c1, address: "127.0.0.1:${await freePort()}", app: "127.0.0.1:${app}"}]}`) +
        kind("Identity", "orders", `{service: orders, cell: c1, ${me}}`) +
        kind("Identity", "shop", `{service: shop, cell: c1, ${me}}`) +
        kind("Authorization", "orders", "{service: orders, allow: [{from: [{service: shop}]}]}"),
    );
    const config = join(server.data, "sterling.yaml");
    writeFileSync(config, `mesh: {state: ${join(server.data, "mesh.yaml")}, domain: bank.example}\n`);
    return config;
  }

  /** Starts the data plane beside a service. */
  async plane(server: Server, service: string): Promise<void> {
    const args = ["mesh", "node", "--data", join(server.data, service), "--control", `unix:${join(server.data, "d", "mesh", "control.sock")}`];
    const child = spawn(binary, [...args, "--identity", `spiffe://bank.example/cell/c1/svc/${service}`, "--name", "pay-1"], { stdio: ["ignore", "pipe", "ignore"] });
    this.planes.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout!.on("data", (b: Buffer) => b.toString().includes("ready") && resolve());
      child.on("exit", (code) => reject(new Error(`sterling mesh node ended with ${code}`)));
    });
  }

  async end(): Promise<void> {
    for (const child of this.planes) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    this.app.closeAllConnections();
    await new Promise((done) => this.app.close(done));
  }
}

describe.skipIf(!browserPath)("the page of the mesh", () => {
  const server = new Server();
  const person = new Person();
  beforeAll(async () => {
    await server.start(false);
    await person.open();
  });
  afterAll(async () => {
    await person.close();
    await server.remove();
  });

  async function open(what: GetTopologyResponse | null, options: Parameters<Person["window"]>[0] = {}): Promise<Page> {
    const { context, page } = await person.window(options);
    await new FakeWatch().calm().stand(context);
    if (what) await answer(page, what);
    await signIn(page, server.url, server.token());
    await page.goto(`${server.url}/mesh`);
    return page;
  }

  test("shows who calls whom, what fails and why, and data planes that are behind", async () => {
    const page = await open(troubled());
    const calls = page.getByTestId("calls");
    await calls.getByText("timed out 40/s, unreachable 6.8/s").waitFor();
    await calls.getByText("12.0%").waitFor();
    await calls.getByText("refused 2.0/s").waitFor();
    await page.getByTestId("refusal").getByText("31 of 60 calls failed").waitFor();
    const planes = page.getByTestId("planes");
    await planes.getByText("fraud: 1 of 2").waitFor();
    await planes.getByText("has 6").waitFor();
    await planes.getByText("refused", { exact: true }).waitFor();
    await expect.poll(() => page.getByTestId("topology").locator("path.call").count()).toBe(8);
    await expect.poll(() => page.getByTestId("topology").locator("path.call-bad").count()).toBe(1);
    await expect.poll(() => page.getByTestId("topology").locator("g.service-holds").count()).toBe(2);
    await picture(page, "mesh");
    await planes.getByText("payments · c1 · pay-1").click();
    await page.getByTestId("plane").getByText("31 of 1,024").waitFor();
    await page.getByTestId("plane").getByText("fraud/GRPCRoute/fraud:12/0").waitFor();
    await picture(page, "mesh-plane");
    await page.context().close();
  });

  test("says when there is nothing there yet", async () => {
    const page = await open(create(GetTopologyResponseSchema, { domain: "bank.example", timestamp: nanos(Date.now()) }));
    await page.getByText("No desired state is in use yet").waitFor();
    await page.getByText("No data plane is connected").waitFor();
    const quiet = troubled();
    quiet.edges = [];
    quiet.refusal = "";
    await answer(page, quiet);
    await page.getByText("No calls yet").waitFor();
    await expect.poll(() => page.getByTestId("topology").locator("g.service").count()).toBe(6);
    await page.context().close();
  });

  test("says when this server runs no mesh", async () => {
    const page = await open(null);
    await page.getByText("This server runs no mesh").waitFor();
    await picture(page, "mesh-none");
    await page.context().close();
  });

  test("keeps what it knew while the server is away, and fits a small laptop in the dark", async () => {
    const page = await open(troubled(), { viewport: { width: 1280, height: 720 }, colorScheme: "dark" });
    await page.getByTestId("calls").waitFor();
    const over = await page.evaluate(() => {
      const p = document.querySelector(".page")!;
      return [p.scrollWidth - p.clientWidth, document.documentElement.scrollWidth - innerWidth];
    });
    expect(over).toEqual([0, 0]);
    await picture(page, "mesh-dark");
    await page.context().route(/\/sterling\./, (r) => r.abort("connectionrefused"));
    await page.getByText("The server does not answer.").waitFor();
    await page.getByTestId("calls").getByText("timed out 40/s, unreachable 6.8/s").waitFor();
    await page.context().close();
  });

  test("shows a real mesh: calls, latencies and certificates", async () => {
    const real = new Server();
    const running = new Mesh();
    try {
      await real.start(false, ["--config", await running.state(real)]);
      await running.plane(real, "orders");
      await running.plane(real, "shop");
      const { context, page } = await person.window();
      await new FakeWatch().calm().stand(context);
      await signIn(page, real.url, real.token());
      await page.keyboard.press("g");
      await page.keyboard.press("m");
      const row = page.getByTestId("calls").getByText("shop");
      await expect.poll(async () => {
        for (let i = 0; i < 20; i++) await (await fetch(`http://127.0.0.1:${running.port}/orders/1`)).text();
        return row.count();
      }, { timeout: 30_000 }).toBe(1);
      await expect.poll(() => page.getByTestId("planes").getByText(/^in \d+ min/).count()).toBe(2);
      await expect.poll(() => page.getByTestId("topology").locator("path.call-good").count()).toBe(1);
      await picture(page, "mesh-real");
      await context.close();
    } finally {
      await running.end();
      await real.remove();
    }
  });

  test("no page erred or broke its own policy", () => expect(person.complaints).toEqual([]));
});
