import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { SandboxProcessSchema, type SandboxProcess } from "../gen/sterling/ledger/v1/sandbox_pb";
import { eventText, forest, statusText } from "./sandboxes";

const process = (id: number, parent: number, began: number): SandboxProcess => create(SandboxProcessSchema, { id: BigInt(id), parent: BigInt(parent), began: BigInt(began) });

test("processes are below who began them, also where an id is given again", () => {
  const rows = forest([process(1, 0, 1), process(2, 1, 2), process(3, 2, 3), process(2, 1, 4), process(4, 2, 5), process(9, 7, 6)]);
  expect(rows.map((r) => `${r.depth}:${r.p.id}@${r.p.began}`)).toEqual(["0:1@1", "1:2@2", "2:3@3", "1:2@4", "2:4@5", "0:9@6"]);
});

test("no record can make the tree endless or lose a process", () => {
  const circle = [process(1, 2, 1), process(2, 1, 1)];
  expect(forest(circle).length).toBe(2);
});

test("what a line says", () => {
  expect(eventText("event", `{"point":"exec","context":{"process":3},"argv":["ls","/"]}`)).toEqual({ point: "exec", text: "[3] ls /" });
  expect(eventText("event", `{"point":"open","context":{"process":3},"path":"/x","errno":2}`)).toEqual({ point: "open", text: "[3] path=/x errno=2" });
  expect(eventText("gap", `{"reason":"dropped","lost":7}`).text).toBe("reason=dropped lost=7");
  expect(eventText("event", "{").text).toBe("{");
  expect([statusText(0), statusText(256), statusText(9)]).toEqual(["exit 0", "exit 1", "signal 9"]);
});
