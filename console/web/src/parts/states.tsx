// What a page shows when it has nothing to show.
import { Button } from "antd";
import type { ReactNode } from "react";
import { faultOf } from "../lib/api";

/** Nothing there, and why, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <div className="state-title">{title}</div>
      {children && <div className="state-text">{children}</div>}
    </div>
  );
}

/** A call failed: what the server said, and another try. */
export function Failed({ error, retry, what }: { error: unknown; retry?: () => void; what: string }) {
  const fault = faultOf(error);
  const title = {
    away: "The server does not answer",
    "signed-out": "Signed out",
    refused: "This token may not see this",
    missing: "There is no such thing",
    "not-running": `${what} is not running on this server`,
    busy: `${what} can't answer now`,
    wrong: `${what} could not be loaded`,
  }[fault.kind];
  return (
    <div className="state state-failed" role="alert">
      <div className="state-title">{title}</div>
      <div className="state-text">{fault.kind === "away" ? "It is asked again every second." : fault.text}</div>
      {retry && fault.kind !== "refused" && (
        <Button size="small" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** Space of the height that the content will have, so that nothing jumps when it comes. */
export function Waiting({ rows = 4 }: { rows?: number }) {
  return (
    <div className="waiting" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="waiting-row" />
      ))}
    </div>
  );
}
