// Lifting a freeze: another person than the one who froze.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Modal } from "antd";
import { useState } from "react";
import type { FrozenState } from "../gen/sterling/ledger/v1/ledger_pb";
import { ControlStatus } from "../gen/sterling/ledger/v1/status_pb";
import { faultOf, ledger, newId } from "../lib/api";
import { controlStatus, freezeMode, frozen } from "../lib/names";
import { Why } from "./decide";

const whyBytes = 64;

/** What the ledger says against lifting, in words. */
function refusal(status: ControlStatus): string {
  switch (status) {
    case ControlStatus.CREATED:
    case ControlStatus.EXISTS:
    case ControlStatus.FREEZE_ALREADY_LIFTED:
      return "";
    case ControlStatus.SECOND_PERSON_REQUIRED:
      return "Whoever froze it can't lift it: it takes another person.";
    case ControlStatus.APPROVAL_REQUIRED:
      return "The rules of the house want a proposal for this: sterling books propose.";
    default:
      return `Not lifted: ${controlStatus(status)}.`;
  }
}

/** Asks why, and lifts. */
export function LiftDialog({ freeze, close }: { freeze: FrozenState; close: () => void }) {
  const [why, setWhy] = useState("");
  // One id for the dialog: sent again after a lost answer, it is the same command.
  const [id] = useState(newId);
  const queries = useQueryClient();
  const { message } = App.useApp();
  const lift = useMutation({
    mutationFn: async () => {
      const against = refusal((await ledger.unfreeze({ id, freezeId: freeze.id, reason: why.trim() })).status);
      if (against) throw new Error(against);
    },
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["freezes"] });
      void message.success("Lifted");
      close();
    },
  });
  return (
    <Modal open title={`Lift the freeze of ${frozen(freeze)}`} okText="Lift" onOk={() => lift.mutate()} onCancel={close} confirmLoading={lift.isPending} okButtonProps={{ disabled: why.trim() === "" || new TextEncoder().encode(why).length > whyBytes }}>
      <p className="dialog-text">
        From then on {freezeMode(freeze.mode)} of {frozen(freeze)} pass again. It was frozen for: {freeze.reason || "no reason given"}.
      </p>
      <Why value={why} set={setWhy} bytes={whyBytes} placeholder="Why it is safe again" />
      {lift.error && <Alert type="error" showIcon title={faultOf(lift.error).text} role="alert" />}
    </Modal>
  );
}
