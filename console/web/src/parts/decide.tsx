// Dialogs that change something: each asks why, and says what will happen.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Checkbox, Input, Modal } from "antd";
import { useState } from "react";
import { BreakState, type Break } from "../gen/sterling/watch/v1/watch_pb";
import { faultOf, watch } from "../lib/api";
import { money, words } from "../lib/format";

/** What a person makes of a break. */
export type Decision = "explain" | "accept" | "reopen";

const texts: Record<Decision, { title: string; what: string; ok: string; state: BreakState }> = {
  explain: { title: "Explain", what: "You know why it happened. The money is still not where it belongs: the break stays counted as at risk until it is repaired.", ok: "Explain", state: BreakState.EXPLAINED },
  accept: { title: "Accept", what: "The difference is taken as it is. It is no longer counted as at risk, and the proof goes on.", ok: "Accept the difference", state: BreakState.ACCEPTED },
  reopen: { title: "Open again", what: "The break counts as open again.", ok: "Open again", state: BreakState.OPEN },
};

const whyBytes = 512;
const tooLong = (text: string, bytes: number) => new TextEncoder().encode(text).length > bytes;

/** Explains, accepts or opens a break again. */
export function DecideDialog({ b, decision, close }: { b: Break; decision: Decision; close: () => void }) {
  const [why, setWhy] = useState("");
  const [group, setGroup] = useState(false);
  const queries = useQueryClient();
  const { message } = App.useApp();
  const text = texts[decision];
  const decide = useMutation({
    mutationFn: () => watch.decideBreak({ id: b.id, state: text.state, why: why.trim(), group }),
    onSuccess: async () => {
      await Promise.all([queries.invalidateQueries({ queryKey: ["break"] }), queries.invalidateQueries({ queryKey: ["breaks"] }), queries.invalidateQueries({ queryKey: ["proof"] })]);
      void message.success(`${words(b.class)}: ${text.title.toLowerCase() === "open again" ? "open again" : `${decision}ed`}`);
      close();
    },
  });
  return (
    <Modal open title={`${text.title}: ${words(b.class)}`} okText={text.ok} onOk={() => decide.mutate()} onCancel={close} confirmLoading={decide.isPending} okButtonProps={{ disabled: why.trim() === "" || tooLong(why, whyBytes) }}>
      <p className="dialog-text">{text.what}</p>
      <Why value={why} set={setWhy} bytes={whyBytes} placeholder="Why, for whoever reads the history" />
      {(b.others > 0 || (b.group !== "" && b.group !== b.id)) && (
        <Checkbox checked={group} onChange={(e) => setGroup(e.target.checked)}>
          Also the others of the same cause{b.others > 0 ? ` (${b.others})` : ""}
        </Checkbox>
      )}
      {decide.error && <Alert className="gap-above" type="error" showIcon title={faultOf(decide.error).text} role="alert" />}
    </Modal>
  );
}

/** A reason, bounded in bytes as the journal bounds it. */
export function Why({ value, set, bytes, placeholder }: { value: string; set: (text: string) => void; bytes: number; placeholder: string }) {
  return (
    <div className="gap-below">
      <Input.TextArea autoFocus rows={3} value={value} onChange={(e) => set(e.target.value)} placeholder={placeholder} aria-label="Why" status={tooLong(value, bytes) ? "error" : ""} />
      {tooLong(value, bytes) && <span className="tone-text-bad">At most {bytes} bytes.</span>}
    </div>
  );
}

/** Proposes the transfers that watch suggests; another person decides. */
export function ProposeDialog({ b, close }: { b: Break; close: () => void }) {
  const [why, setWhy] = useState("");
  const queries = useQueryClient();
  const { message } = App.useApp();
  const propose = useMutation({
    mutationFn: () => watch.proposeRepair({ id: b.id, why: why.trim() }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["break"] });
      void message.success("Proposed. Another person decides.");
      close();
    },
  });
  return (
    <Modal open title="Propose this repair" okText="Propose" onOk={() => propose.mutate()} onCancel={close} confirmLoading={propose.isPending} okButtonProps={{ disabled: why.trim() === "" || tooLong(why, whyBytes) }}>
      <p className="dialog-text">
        {b.repair.length === 1 ? "One transfer" : `${b.repair.length} transfers`} of {b.repair.map((t) => money(t.amount, t.asset)).join(", ")} will be journaled as a proposal. Nothing moves until another person approves it.
      </p>
      <Why value={why} set={setWhy} bytes={whyBytes} placeholder="Why this repair is right" />
      {propose.error && <Alert type="error" showIcon title={faultOf(propose.error).text} role="alert" />}
    </Modal>
  );
}
