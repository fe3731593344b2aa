import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A Sterling of its own, on a free port of loopback, with a data folder that is removed. */
export class TestServer {
  private constructor(
    readonly address: string,
    readonly token: string,
    readonly tokenFile: string,
    private readonly folder: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(): Promise<TestServer> {
    const binary = process.env["STERLING_BIN"];
    if (!binary) {
      throw new Error("STERLING_BIN names no binary: run tools/sdk.sh test");
    }
    const folder = await mkdtemp(join(tmpdir(), "sterling-ts-"));
    const child = spawn(binary, ["up", "--data", folder, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
    process.once("exit", () => child.kill()); // tests that broke off leave nothing running
    for await (const line of createInterface({ input: child.stdout })) {
      const match = /^Sterling is ready on http:\/\/(\S+)$/.exec(line);
      if (match) {
        child.stdout.resume();
        const tokenFile = join(folder, "admin.token");
        return new TestServer(match[1]!, (await readFile(tokenFile, "utf8")).trim(), tokenFile, folder, child);
      }
    }
    throw new Error(`${binary} up ended before it was ready`);
  }

  async stop(): Promise<void> {
    const exited = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await exited;
    await rm(this.folder, { recursive: true });
  }
}

/** Passes connections on; can hold the server's answers back, and lose them. */
export class Cutter {
  private held = false;
  private readonly sockets = new Set<Socket>();
  connections = 0;
  address = "";

  private constructor(private readonly server: Server) {}

  static async start(to: string): Promise<Cutter> {
    const [host, port] = to.split(":");
    const server = createServer();
    const cutter = new Cutter(server);
    server.on("connection", (inbound) => {
      cutter.connections++;
      const outbound = connect(Number(port), host);
      const end = () => {
        for (const socket of [inbound, outbound]) {
          cutter.sockets.delete(socket);
          socket.destroy();
        }
      };
      for (const socket of [inbound, outbound]) {
        cutter.sockets.add(socket);
        socket.on("error", end).on("close", end);
      }
      inbound.on("data", (data) => outbound.write(data));
      outbound.on("data", (data) => cutter.held || inbound.write(data));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cutter.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return cutter;
  }


  /** What the server answers from now on is lost. */
  hold(): void {
    this.held = true;
  }

  /** Breaks every connection; new ones work. */
  cut(): void {
    this.held = false;
    for (const socket of [...this.sockets]) {
      socket.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    if (this.server.listening) {
      this.server.close();
      await once(this.server, "close");
    }
  }
}
