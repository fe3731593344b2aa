// A repair that was proposed, and the decision of another person on it.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Modal } from "antd";
import { useState } from "react";
import { Verdict, type DecideResponse } from "../gen/sterling/ledger/v1/books_pb";
import { ControlStatus, CreateTransferStatus } from "../gen/sterling/ledger/v1/status_pb";
import { books, faultOf, newId } from "../lib/api";
import { short } from "../lib/format";
import { controlStatus, transferStatus } from "../lib/names";
import { token, tokenId } from "../lib/session";
import { Why } from "./decide";
import { Failed, Waiting } from "./states";
import { Facts, Id, Tag, Time } from "./values";

const whyBytes = 64;

/** A proposal by its id. */
export function Proposal({ id, breakId }: { id: string; breakId: string }) {
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  const q = useQuery({
    queryKey: ["proposal", id],
    queryFn: async ({ signal }) => (await books.listProposals({ all: true, id }, { signal })).proposals[0] ?? null,
    refetchInterval: 2000,
  });
  if (q.error && q.data === undefined) return <Failed error={q.error} what="The proposal" retry={() => void q.refetch()} />;
  if (q.data === undefined) return <Waiting rows={2} />;
  if (q.data === null) return <div className="hint">The proposal {short(id)} is not in the books.</div>;
  const p = q.data;
  const own = tokenId(token()) === p.actor;
  const decided = p.verdict !== Verdict.UNSPECIFIED;
  return (
    <div className="proposal" data-testid="proposal">
      <Facts
        rows={[
          ["Proposed", <span key="p"><Time ns={p.timestamp} /> by <span className="mono">{short(p.actor, 8)}</span>{own && " (you)"}{p.request?.reason && <span className="quiet"> · {p.request.reason}</span>}</span>],
          ["Proposal", <Id key="i" id={id} whole />],
          ["Decision", decided ? (
            <span key="d"><Tag tone={p.verdict === Verdict.APPROVE ? "good" : "quiet"}>{p.verdict === Verdict.APPROVE ? "approved" : "rejected"}</Tag> <Time ns={p.decidedAt} /> by <span className="mono">{short(p.decidedBy, 8)}</span>{p.decidedReason && <span className="quiet"> · {p.decidedReason}</span>}</span>
          ) : (
            <Tag key="d" tone="warn">waits for another person</Tag>
          )],
        ]}
      />
      {!decided && (
        <div className="actions">
          <Button size="small" type="primary" disabled={own} onClick={() => setVerdict(Verdict.APPROVE)}>Approve and book</Button>
          <Button size="small" onClick={() => setVerdict(Verdict.REJECT)}>Reject</Button>
          {own && <span className="quiet">You proposed it: another person has to approve.</span>}
        </div>
      )}
      {verdict !== null && <VerdictDialog proposal={id} breakId={breakId} verdict={verdict} close={() => setVerdict(null)} />}
    </div>
  );
}

/** What the ledger said against it; "" where it took the decision. */
function refusal(r: DecideResponse): string {
  if (r.status === ControlStatus.CREATED || r.status === ControlStatus.EXISTS) return "";
  const leg = r.transfers.find((t) => t.status !== CreateTransferStatus.CREATED && t.status !== CreateTransferStatus.LINKED_EVENT_FAILED);
  return `Nothing was booked: ${controlStatus(r.status)}${leg ? ` (${transferStatus(leg.status)})` : ""}.`;
}

function VerdictDialog({ proposal, breakId, verdict, close }: { proposal: string; breakId: string; verdict: Verdict; close: () => void }) {
  const [why, setWhy] = useState("");
  // One id for the dialog: sent again after a lost answer, it is the same decision.
  const [id] = useState(newId);
  const queries = useQueryClient();
  const { message } = App.useApp();
  const approve = verdict === Verdict.APPROVE;
  const decide = useMutation({
    mutationFn: async () => {
      const answer = await books.decide({ id, proposalId: proposal, verdict, reason: why.trim() });
      const against = refusal(answer);
      if (against) throw new Error(against);
    },
    onSuccess: async () => {
      await Promise.all([queries.invalidateQueries({ queryKey: ["proposal", proposal] }), queries.invalidateQueries({ queryKey: ["break", breakId] })]);
      void message.success(approve ? "Approved and booked" : "Rejected");
      close();
    },
  });
  return (
    <Modal open title={approve ? "Approve and book" : "Reject"} okText={approve ? "Approve and book" : "Reject"} onOk={() => decide.mutate()} onCancel={close} confirmLoading={decide.isPending} okButtonProps={{ disabled: why.trim() === "" || new TextEncoder().encode(why).length > whyBytes }}>
      <p className="dialog-text">{approve ? "The transfers are booked at once, all of them or none." : "Nothing is booked, and the proposal is closed."}</p>
      <Why value={why} set={setWhy} bytes={whyBytes} placeholder="Why" />
      {decide.error && <Alert type="error" showIcon title={faultOf(decide.error).text} role="alert" />}
    </Modal>
  );
}
