// A payment: reserve now, settle when the goods leave, read the statement.
//
//   node dist/examples/payment.js http://127.0.0.1:7600 sterling-data/admin.token
import { readFile } from "node:fs/promises";
import { formatAmount, fromU128, OutcomeUnknown, parseAmount, Sterling, TransferFlag, TransferRefused } from "../src/index.js";

const [baseUrl, tokenFile] = process.argv.slice(2);
if (!baseUrl || !tokenFile) {
  throw new Error("usage: payment URL TOKENFILE");
}
const asset = "CNY/2";
const sterling = new Sterling({ baseUrl, token: async () => (await readFile(tokenFile, "utf8")).trim(), userAgent: "example/1" });
try {
  const customer = await sterling.open({ asset, code: 2 });
  const shop = await sterling.open({ asset, code: 3 });

  const order = sterling.newId(); // kept with the order: a restart of this program can't pay twice
  await sterling.transfer({
    id: order, debit: customer.id, credit: shop.id, amount: parseAmount("12.90", asset), asset, code: 10,
    flags: [TransferFlag.PENDING], timeout: 900,
  });
  await sterling.transfer({ pendingId: order, flags: [TransferFlag.POST_PENDING_TRANSFER] });

  for await (const transfer of sterling.statement(shop.id)) {
    console.log(transfer.flags.map((flag) => TransferFlag[flag]).join(), formatAmount(fromU128(transfer.amount!), asset));
  }
  await sterling.transfer({ pendingId: order, flags: [TransferFlag.VOID_PENDING_TRANSFER] });
} catch (error) {
  if (error instanceof TransferRefused) {
    console.log("not possible:", error.message.split(": ")[1]); // nothing was recorded
  } else if (error instanceof OutcomeUnknown) {
    console.log("perhaps recorded: send again with the ids", error.ids);
  } else {
    throw error; // nothing was recorded
  }
} finally {
  sterling.close();
}
