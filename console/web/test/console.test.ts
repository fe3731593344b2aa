// The console as a person uses it: a real server with the demo bank, a real browser. What watch says is given, so that
// every state can be shown; the server, its files, its sign-in and its ledger are its own.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, Person, picture, Server, signIn } from "./harness";
import { makeLog, type FakeLog } from "./log";
import { record, standForSandboxes } from "./sandboxes";
import { customer, FakeWatch, ids, merchant } from "./watch";

const server = new Server();
const person = new Person();

if (!browserPath) console.warn("SKIPPED: no Chromium. Install it with: sudo apt-get install chromium, or name one in CHROMIUM");

/** A page of somebody who is signed in, with a watch that says what is wanted. */
async function signedIn(watch: FakeWatch, path = "/", options: Parameters<Person["window"]>[0] = {}, token = server.token()): Promise<Page> {
  const { context, page } = await person.window(options);
  await watch.stand(context);
  await signIn(page, server.url, token);
  if (path !== "/") await page.goto(server.url + path);
  return page;
}

const url = (page: Page) => new URL(page.url()).pathname + new URL(page.url()).search;

describe.skipIf(!browserPath)("the console", () => {
  let log: FakeLog;
  beforeAll(async () => {
    await server.start();
    await person.open();
    log = await makeLog(300, { start: BigInt(Date.now() - 300_000) * 1_000_000n });
  });
  afterAll(async () => {
    await person.close();
    await server.remove();
  });

  test("has a bank to look at: accounts are open, and some money has moved", async () => {
    const transfers = async () => Number((await server.call<{ transfers: string }>("AdminService/Status", {})).transfers);
    await expect.poll(transfers, { timeout: 60_000 }).toBeGreaterThan(2500);
  });

  describe("sign-in", () => {
    test("refuses a wrong token, takes a right one, and ends with sign-out", async () => {
      const { context, page } = await person.window();
      await new FakeWatch().calm().stand(context);
      await page.goto(`${server.url}/flows`);
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await picture(page, "sign-in");
      await page.getByLabel("Token", { exact: true }).fill(`sterling_${"0".repeat(32)}_${"0".repeat(64)}`);
      await page.getByLabel("Token", { exact: true }).press("Enter");
      await page.getByText("does not know this token").waitFor();
      await picture(page, "sign-in-refused");
      await page.getByLabel("Token", { exact: true }).fill(server.token());
      await page.getByRole("button", { name: "Sign in" }).click();
      // The page that was asked for, after the detour.
      await page.getByTestId("flows").waitFor();
      expect(page.url()).not.toContain("sterling_");
      await page.reload();
      await page.getByTestId("flows").waitFor();
      expect(await page.evaluate(() => [Object.keys(localStorage), document.cookie])).toEqual([[], ""]);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
      await context.close();
    });

    test("is asked for again when the token stops being valid", async () => {
      const token = server.newToken("short-lived", "reader");
      const page = await signedIn(new FakeWatch().calm(), "/", {}, token);
      await page.context().route("**/sterling.ledger.v1.AdminService/Status", (r) =>
        r.fulfill({ status: 401, contentType: "application/json", body: JSON.stringify({ code: "unauthenticated", message: "the token is not in force" }) }),
      );
      await page.getByText("no longer accepts this token").waitFor();
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
      await picture(page, "sign-in-again");
      await page.context().close();
    });
  });

  describe("overview", () => {
    test("shows a clock that moves, and balances that add up", async () => {
      const page = await signedIn(new FakeWatch().calm());
      const clock = page.getByTestId("clock");
      await expect.poll(() => clock.textContent(), { timeout: 10_000 }).toMatch(/^\d\d:\d\d:\d\d\.\d{3}$/);
      const first = await clock.textContent();
      await expect.poll(() => clock.textContent(), { timeout: 10_000 }).not.toBe(first);
      await page.getByText("Follows the clock.").waitFor();
      await expect.poll(() => page.getByTestId("balances").getByText("debits = credits").count()).toBe(4);
      await page.getByText("No open breaks").waitFor();
      // The chart has a history once two samples were taken.
      await expect.poll(() => page.locator(".legend b").first().textContent(), { timeout: 15_000 }).toMatch(/^[\d.,]+$/);
      await picture(page, "overview-calm");
      await page.context().close();
    });

    test("says that money is at risk, and why the clock stands", async () => {
      const page = await signedIn(new FakeWatch().trouble());
      await page.getByText("Duplicate_post in card-payment is open.").waitFor();
      await page.getByText("1,288.51 CNY").waitFor();
      const first = await page.getByTestId("clock").textContent();
      await expect.poll(() => page.locator(".hero-age .num").textContent(), { timeout: 10_000 }).toMatch(/min/);
      expect(await page.getByTestId("clock").textContent()).toBe(first);
      await picture(page, "overview-trouble");
      await page.context().close();
    });

    test("says so when watch is not running", async () => {
      const watch = new FakeWatch();
      watch.running = false;
      const page = await signedIn(watch);
      await page.getByText("Watch is not running.").first().waitFor();
      await page.getByText("Nothing is being proven").waitFor();
      await picture(page, "overview-no-watch");
      for (const path of ["/breaks", "/flows", "/proofs"]) {
        await page.goto(server.url + path);
        await page.locator(".state-failed").first().waitFor();
      }
      await picture(page, "proofs-no-log");
      await page.context().close();
    });
  });

  describe("accounts", () => {
    test("are listed, filtered and walked with the keyboard", async () => {
      const page = await signedIn(new FakeWatch().calm(), "/accounts");
      await page.getByTestId("accounts").waitFor();
      await expect.poll(() => page.getByTestId("accounts").locator("tbody tr").count()).toBe(50);
      await page.keyboard.press("j");
      await page.keyboard.press("j");
      await expect.poll(() => page.locator("tr[data-at=true]").count()).toBe(1);
      await picture(page, "accounts");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText("Page 2").waitFor();
      await page.getByLabel("Code").fill("303");
      await expect.poll(() => page.getByTestId("accounts").locator("tbody tr").count()).toBe(1);
      await page.getByText("Transfers", { exact: true }).click();
      await page.getByTestId("transfers").waitFor();
      await picture(page, "transfers");
      await page.context().close();
    });

    test("are found by id from anywhere, with a statement in pages and a balance as of a moment", async () => {
      const page = await signedIn(new FakeWatch().calm());
      await page.keyboard.press("/");
      await page.keyboard.type(merchant);
      await page.keyboard.press("Enter");
      await page.getByTestId("transfers").waitFor();
      await expect.poll(() => url(page)).toBe(`/accounts/${merchant}`);
      await page.getByText("By time").click();
      await page.getByTestId("statement").waitFor();
      const asOf = page.getByPlaceholder("Moment, this machine's zone");
      await asOf.click();
      await asOf.fill("2026-01-01 00:00:00.000");
      await asOf.press("Enter");
      await page.getByText("Balance now").click();
      await page.locator(".ant-picker-dropdown").first().waitFor({ state: "hidden" });
      await expect.poll(() => page.getByTestId("balance").count()).toBe(2);
      await expect.poll(() => page.getByTestId("balance").nth(1).textContent()).toContain("0.00 CNY");
      await picture(page, "account");
      // A row leads to its transfer, and that to everything with the same key.
      await page.getByTestId("statement").locator("tbody tr.opens").first().click();
      await page.getByText("Everything with the same key").waitFor();
      await page.getByTestId("transfers").waitFor();
      await picture(page, "transfer");
      await page.context().close();
    });

    test("by booking day, and a statement's pages", async () => {
      const page = await signedIn(new FakeWatch().calm(), "/accounts/8800301000000001");
      await page.getByTestId("transfers").waitFor();
      await picture(page, "account-latest");
      await page.getByText("By time").click();
      await page.getByTestId("statement").waitFor();
      const first = await page.getByTestId("statement").locator("tbody tr.opens").first().textContent();
      const next = page.getByRole("button", { name: "Next" });
      await expect.poll(() => next.isEnabled(), { timeout: 20_000 }).toBe(true);
      await next.click();
      await page.getByText("Page 2").waitFor();
      await expect.poll(() => page.getByTestId("statement").locator("tbody tr.opens").first().textContent()).not.toBe(first);
      await page.getByText("By booking day").click();
      await page.getByRole("columnheader", { name: "Booked" }).waitFor();
      await page.getByText("Page 1").waitFor();
      await page.context().close();
    });

    test("that do not exist are said not to", async () => {
      const page = await signedIn(new FakeWatch().calm(), "/accounts?q=7");
      await page.getByText("No account and no transfer has this id").waitFor();
      await page.goto(`${server.url}/accounts?q=nobody:here`);
      await page.getByText("No address begins like this").waitFor();
      await picture(page, "search-nothing");
      await page.goto(`${server.url}/accounts/7`);
      await page.getByText("There is no such account").waitFor();
      await page.goto(`${server.url}/transfers/7`);
      await page.getByText("There is no such transfer").waitFor();
      await page.context().close();
    });
  });

  describe("breaks", () => {
    test("are walked by keyboard, shown with their evidence, and explained", async () => {
      const watch = new FakeWatch().trouble();
      const page = await signedIn(watch, "/breaks");
      await page.getByTestId("breaks").waitFor();
      await expect.poll(() => page.getByTestId("breaks").getByRole("listitem").count()).toBe(3);
      await picture(page, "breaks");
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      await page.getByTestId("evidence").waitFor();
      await expect.poll(() => url(page)).toBe(`/breaks/${ids.duplicate}`);
      await expect.poll(() => page.getByTestId("evidence").locator(".wrong").count()).toBe(2);
      await picture(page, "break");
      await page.getByRole("button", { name: "Explain" }).click();
      const ok = page.getByRole("dialog").getByRole("button", { name: "Explain" });
      expect(await ok.isEnabled()).toBe(false);
      await page.getByLabel("Why").fill("The gateway sent the order again after a time-out.");
      await picture(page, "break-explain");
      await ok.click();
      await page.getByTestId("history").getByText("The gateway sent the order again").waitFor();
      expect(watch.calls).toEqual([{ method: "DecideBreak", body: { id: ids.duplicate, state: "BREAK_STATE_EXPLAINED", why: "The gateway sent the order again after a time-out." } }]);
      await page.keyboard.press("Escape");
      await expect.poll(() => url(page)).toBe("/breaks");
      await expect.poll(() => page.getByTestId("breaks").getByRole("listitem").count()).toBe(2);
      await page.context().close();
    });

    test("are filtered by state, flow and class", async () => {
      const page = await signedIn(new FakeWatch().trouble(), "/breaks?state=repaired");
      await page.getByText("Missing receipt").waitFor();
      await page.goto(`${server.url}/breaks?flow=refund`);
      await page.getByText("None with this flow and class.").waitFor();
      await page.goto(`${server.url}/breaks?class=wrong_fee`);
      await expect.poll(() => page.getByTestId("breaks").getByRole("listitem").count()).toBe(1);
      await page.context().close();
    });

    test("are repaired by a proposal that only another person can approve", async () => {
      const watch = new FakeWatch().trouble();
      const b = watch.breaks[0]!;
      b.repairProposalId = "987654321";
      await server.call("BooksService/Propose", {
        id: "987654321", reason: "booked twice",
        transfers: { transfers: [{ id: "987654322", debitAccountId: merchant, creditAccountId: customer, amount: "1", asset: "CNY/2", code: 4 }] },
      });
      await server.call("LedgerService/Freeze", { id: "424242", accountId: customer, mode: "FREEZE_MODE_DEBIT", reason: "duplicate_post" });
      const mine = await signedIn(watch, `/breaks/${ids.duplicate}`);
      await mine.getByText("You proposed it: another person has to approve.").waitFor();
      expect(await mine.getByRole("button", { name: "Approve and book" }).isEnabled()).toBe(false);
      await mine.getByTestId("freezes").getByText(`account ${customer}`).waitFor();
      expect(await mine.getByRole("button", { name: "Lift" }).isEnabled()).toBe(false);
      await mine.context().close();

      const theirs = await signedIn(watch, `/breaks/${ids.duplicate}`, {}, server.newToken("second", "operator"));
      await theirs.getByRole("button", { name: "Approve and book" }).click();
      await theirs.getByLabel("Why").fill("checked with the merchant");
      await theirs.getByRole("dialog").getByRole("button", { name: "Approve and book" }).click();
      await theirs.getByTestId("proposal").getByText("approved").waitFor();
      await picture(theirs, "break-approved");
      const booked = await server.call<{ transfers: { amount: string }[] }>("LedgerService/LookupTransfers", { ids: ["987654322"] });
      expect(booked.transfers[0]?.amount).toBe("1");
      await theirs.getByRole("button", { name: "Lift" }).click();
      await theirs.getByLabel("Why").fill("repaired");
      await picture(theirs, "freeze-lift");
      await theirs.getByRole("dialog").getByRole("button", { name: "Lift" }).click();
      await theirs.getByTestId("freezes").waitFor({ state: "hidden" });
      await theirs.context().close();
    });

    test("that are not there", async () => {
      const page = await signedIn(new FakeWatch().calm(), `/breaks/${"0".repeat(32)}`);
      await page.getByText("There is no such thing").waitFor();
      await page.getByText("No open breaks").waitFor();
      await picture(page, "breaks-empty");
      await page.context().close();
    });
  });

  test("flows show coverage, lateness, what is not proven, and their definition", async () => {
    const watch = new FakeWatch().trouble();
    watch.sources[1]!.missingFrom = 39_871n;
    watch.sources[1]!.missingTo = 39_874n;
    const page = await signedIn(watch, "/flows");
    await page.getByText("Not proven: 1 flow").waitFor();
    await page.getByText("waits for number 39,871 to 39,874").waitFor();
    await picture(page, "flows");
    await page.getByTestId("flows").getByText("Card payments").click();
    await page.getByTestId("yaml").getByText("user_data_128").waitFor();
    await picture(page, "flow-definition");
    await page.context().close();
  });

  describe("proofs", () => {
    const withLog = () => {
      const watch = new FakeWatch().calm();
      watch.log = log.at(280);
      watch.publicKey = Uint8Array.from(log.public);
      return watch;
    };

    test("are checked in the browser, and the log against what it was before", async () => {
      const watch = withLog();
      const page = await signedIn(watch, "/proofs");
      await page.getByText("all hold").waitFor();
      await expect.poll(() => page.getByTestId("checkpoints").getByText("signed, in the log").count()).toBe(25);
      watch.log = log.at(300);
      await page.getByRole("button", { name: "Check again" }).click();
      await page.getByText("extends the 280 entries that this browser saw before").waitFor();
      await picture(page, "proofs");
      await page.getByRole("button", { name: "Older" }).click();
      await page.getByTestId("checkpoints").getByText("274", { exact: true }).waitFor();
      await page.getByTestId("checkpoints").locator("tbody tr").first().click();
      await page.getByText("sterling checkpoint v1").waitFor();
      await picture(page, "proof-entry");
      await page.context().close();
    });

    test("of the server's own log hold", async () => {
      const { context, page } = await person.window();
      await signIn(page, server.url, server.token());
      await page.goto(`${server.url}/proofs`);
      // The first checkpoint is signed soon after the start.
      await page.getByText("all hold").waitFor({ timeout: 40_000 });
      await page.getByTestId("checkpoints").getByText("signed, in the log").first().waitFor();
      await picture(page, "proofs-real");
      await context.close();
    });

    test("that do not hold are shown in red", async () => {
      const watch = withLog();
      const page = await signedIn(watch, "/proofs");
      await page.getByText("all hold").waitFor();
      const fork = await makeLog(290, { key: log.key, change: 12 });
      watch.log = fork.at(290);
      await page.getByRole("button", { name: "Check again" }).click();
      await page.getByText("history was rewritten").waitFor();
      await page.getByText("does not hold").waitFor();
      await picture(page, "proofs-rewritten");
      await page.context().close();
    });
  });

  test("keys change pages, and are listed", async () => {
    const page = await signedIn(new FakeWatch().trouble());
    for (const [key, path] of [["a", "/accounts"], ["b", "/breaks"], ["f", "/flows"], ["p", "/proofs"], ["o", "/"]] as const) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await expect.poll(() => url(page)).toBe(path);
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("Next and previous row").waitFor();
    await picture(page, "keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    const search = page.getByRole("textbox", { name: "Search" });
    const focused = () => search.evaluate((e) => e === document.activeElement);
    // The list of keys is hidden before it has given the keyboard back: a person presses again.
    await expect.poll(async () => {
      if (!(await focused())) await page.keyboard.press("/");
      return focused();
    }).toBe(true);
    await search.pressSequentially("gb?");
    await expect.poll(() => search.inputValue()).toBe("gb?");
    await page.context().close();
  });

  test("dark mode follows the system until it is chosen, and is kept", async () => {
    const page = await signedIn(new FakeWatch().trouble(), "/", { colorScheme: "dark" });
    const theme = () => page.evaluate(() => document.documentElement.dataset["theme"]);
    expect(await theme()).toBe("dark");
    await expect.poll(() => page.locator(".legend b").first().textContent(), { timeout: 15_000 }).toMatch(/^[\d.,]+$/);
    await picture(page, "overview-dark");
    await page.goto(`${server.url}/breaks/${ids.duplicate}`);
    await page.getByTestId("evidence").waitFor();
    await picture(page, "break-dark");
    await page.getByRole("button", { name: "Light mode" }).click();
    expect(await theme()).toBe("light");
    await page.reload();
    await page.getByTestId("evidence").waitFor();
    expect(await theme()).toBe("light");
    await page.context().close();
  });

  test("a small laptop shows every page without scrolling sideways", async () => {
    const watch = new FakeWatch().trouble();
    watch.log = log.at(280);
    watch.publicKey = Uint8Array.from(log.public);
    const page = await signedIn(watch, "/", { viewport: { width: 1280, height: 720 } });
    for (const [name, path, sign] of [
      ["overview", "/", "balances"],
      ["accounts", "/accounts", "accounts"],
      ["account", `/accounts/${merchant}`, "transfers"],
      ["break", `/breaks/${ids.duplicate}`, "evidence"],
      ["flows", "/flows", "flows"],
      ["proofs", "/proofs", "checkpoints"],
    ] as const) {
      await page.goto(server.url + path);
      await page.getByTestId(sign).waitFor();
      await picture(page, `laptop-${name}`);
      const over = await page.evaluate(() => {
        const p = document.querySelector(".page")!;
        return [p.scrollWidth - p.clientWidth, document.documentElement.scrollWidth - innerWidth];
      });
      expect({ name, over }).toEqual({ name, over: [0, 0] });
    }
    await page.context().close();
  });

  describe("sandboxes", () => {
    test("says that this server shows none", async () => {
      const page = await signedIn(new FakeWatch().calm(), "/sandboxes");
      await page.getByText("set sandboxes.state in its configuration").waitFor();
      await page.context().close();
    });

    test("shows what runs, its processes with their hashes, and its record as it grows", async () => {
      const { context, page } = await person.window();
      await new FakeWatch().calm().stand(context);
      const shown = record();
      await standForSandboxes(context, () => shown);
      await signIn(page, server.url, server.token());
      await page.keyboard.press("g");
      await page.keyboard.press("s");
      await page.getByTestId("sandboxes").getByText("the log is away").waitFor();
      await picture(page, "sandboxes");
      await page.getByText("statement-parser").click();
      await page.getByTestId("processes").getByText("signal 9").waitFor();
      expect(await page.getByTestId("processes").locator("tbody tr").allInnerTexts()).toEqual([
        expect.stringMatching(/^\/parser --format camt.053/),
        expect.stringMatching(/^└ \/bin\/gunzip -c/),
        expect.stringMatching(/^ {2}└ \/bin\/sh -c id by exec/),
      ]);
      await page.getByTestId("breaks").getByText("reason=dropped lost=12").waitFor();
      expect(await page.getByTestId("record").locator("tbody tr").count()).toBe(7);
      await picture(page, "sandbox");
      shown.lines.push({ ...shown.lines[2]!, seq: 7n, body: JSON.stringify({ point: "open", context: { process: 1 }, path: "/etc/new" }) });
      await page.getByTestId("record").getByText("[1] path=/etc/new").waitFor();
      shown.fault = "the record is not what was written: line 9, at byte 4711: the hash does not follow";
      await page.getByRole("alert").getByText("line 9, at byte 4711").waitFor();
      await picture(page, "sandbox-changed");
      await context.close();
    });
  });

  test("a server that dies is said to, and asked until it is back", async () => {
    const watch = new FakeWatch().calm();
    const page = await signedIn(watch);
    await page.getByTestId("balances").waitFor();
    await server.kill();
    watch.away = true;
    await page.getByText("The server does not answer.").waitFor();
    await page.getByText("Last proven safe through").waitFor();
    await page.getByTestId("balances").waitFor(); // what was known stays
    await picture(page, "server-away");
    await server.start();
    watch.away = false;
    await page.getByText("The server does not answer.").waitFor({ state: "hidden" });
    await page.context().close();
  });

  test("an empty ledger has no errors, only nothing to show", async () => {
    const empty = new Server();
    try {
      await empty.start(false);
      const { context, page } = await person.window();
      const watch = new FakeWatch();
      await watch.stand(context);
      await signIn(page, empty.url, empty.token());
      await page.getByText("No assets yet").waitFor();
      await page.getByText("No flows are declared").waitFor();
      await picture(page, "empty-overview");
      for (const [path, sign] of [["/accounts", "No accounts"], ["/accounts?show=transfers", "No transfers"], ["/breaks", "No open breaks"], ["/flows", "No witness has spoken"]] as const) {
        await page.goto(empty.url + path);
        await page.getByText(sign).first().waitFor();
      }
      await context.close();
    } finally {
      await empty.remove();
    }
  });

  test("no page erred or broke its own policy", () => expect(person.complaints).toEqual([]));
});
