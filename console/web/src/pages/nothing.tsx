import { Link } from "react-router";
import { Empty } from "../parts/states";

/** A path that no page has. */
export function NothingPage() {
  return (
    <Empty title="There is no such page">
      <Link to="/">Overview</Link>
    </Empty>
  );
}
