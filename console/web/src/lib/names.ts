// Enumerations of the API, in words.
import { AccountFlag, FreezeMode, TransferFlag, type FrozenState } from "../gen/sterling/ledger/v1/ledger_pb";
import { ControlStatus, CreateTransferStatus } from "../gen/sterling/ledger/v1/status_pb";

const spaced = (name: string | undefined) => (name ?? "unknown").toLowerCase().replaceAll("_", " ");

/** "debits must not exceed credits". */
export const accountFlag = (flag: AccountFlag) => spaced(AccountFlag[flag]);

/** "post pending transfer". */
export const transferFlag = (flag: TransferFlag) => spaced(TransferFlag[flag]);

/** "second person required". */
export const controlStatus = (status: ControlStatus) => spaced(ControlStatus[status]);

/** "exceeds credits". */
export const transferStatus = (status: CreateTransferStatus) => spaced(CreateTransferStatus[status]);

/** What a movement is: posted at once, reserved, or the end of a reservation. */
export function transferKind(flags: TransferFlag[]): string {
  if (flags.includes(TransferFlag.PENDING)) return "reserve";
  if (flags.includes(TransferFlag.POST_PENDING_TRANSFER)) return flags.includes(TransferFlag.KEEP_REMAINDER) ? "capture part" : "capture";
  if (flags.includes(TransferFlag.VOID_PENDING_TRANSFER)) return flags.includes(TransferFlag.FENCE) ? "fence" : "void";
  return "post";
}

/** "account 42", "code 3", "the whole cell". */
export function frozen(f: FrozenState): string {
  switch (f.selector.case) {
    case "accountId":
      return `account ${f.selector.value}`;
    case "transferCode":
      return `transfers of code ${f.selector.value}`;
    default:
      return "the whole cell";
  }
}

/** Which side a freeze stops. */
export function freezeMode(mode: FreezeMode): string {
  return { [FreezeMode.UNSPECIFIED]: "", [FreezeMode.DEBIT]: "debits", [FreezeMode.CREDIT]: "credits", [FreezeMode.ALL]: "debits and credits" }[mode];
}
