// What is around every page: navigation, the clock, search, keys, and the banners that no page may miss.
import { AppstoreOutlined, ContainerOutlined, ExceptionOutlined, LogoutOutlined, PartitionOutlined, QuestionCircleOutlined, SafetyCertificateOutlined, SearchOutlined, WalletOutlined } from "@ant-design/icons";
import { Button, Input, Modal, Tooltip, type InputRef } from "antd";
import { useRef, useState, type ReactNode } from "react";
import { NavLink, Outlet, useLocation, useNavigate } from "react-router";
import { clockTime, grouped } from "../lib/format";
import { useKeys, type Bindings } from "../lib/keys";
import { useAway, useRecorder, useStatus } from "../lib/live";
import { signOut } from "../lib/session";
import { toggleMode } from "../lib/theme";
import { navigation } from "../pages";
import { useVerdict } from "./clock";
import { Mark } from "./mark";
import { ThemeButton } from "./theme";

const icons: Record<string, ReactNode> = {
  "/": <AppstoreOutlined />,
  "/accounts": <WalletOutlined />,
  "/breaks": <ExceptionOutlined />,
  "/flows": <PartitionOutlined />,
  "/proofs": <SafetyCertificateOutlined />,
  "/sandboxes": <ContainerOutlined />,
};

/** The frame of all pages. */
export function Shell() {
  useRecorder();
  const navigate = useNavigate();
  const search = useRef<InputRef>(null);
  const [help, setHelp] = useState(false);
  const bindings: Bindings = {
    "/": () => search.current?.focus({ cursor: "all" }),
    "?": () => setHelp(true),
    "g d": toggleMode,
  };
  for (const page of navigation) bindings[`g ${page.key}`] = () => void navigate(page.path);
  useKeys(bindings);
  return (
    <div className="shell">
      <Side />
      <div className="main">
        <header className="top">
          <TopClock />
          <Search inputRef={search} />
          <div className="top-tools">
            <Tooltip title="Keys (?)">
              <Button type="text" aria-label="Keys" icon={<QuestionCircleOutlined />} onClick={() => setHelp(true)} />
            </Tooltip>
            <ThemeButton />
            <Tooltip title="Sign out">
              <Button type="text" aria-label="Sign out" icon={<LogoutOutlined />} onClick={() => signOut()} />
            </Tooltip>
          </div>
        </header>
        <Banners />
        <main className="page">
          <Outlet />
        </main>
      </div>
      <KeysHelp open={help} close={() => setHelp(false)} />
    </div>
  );
}

function Side() {
  const { proof } = useVerdict();
  const status = useStatus().data;
  return (
    <nav className="side" aria-label="Pages">
      <div className="brand">
        <Mark size={22} />
        <span>Sterling</span>
      </div>
      {navigation.map((page) => (
        <NavLink key={page.path} to={page.path} end={page.path === "/"} className="side-link">
          {icons[page.path]}
          <span>{page.name}</span>
          {page.path === "/breaks" && proof && proof.openBreaks > 0n && <span className="badge">{grouped(proof.openBreaks)}</span>}
        </NavLink>
      ))}
      <div className="side-foot">
        <div>{status ? `Cell ${status.cell} · epoch ${status.epoch}` : "\u00a0"}</div>
        <div className="num">{status ? `Block ${grouped(status.head)}` : "\u00a0"}</div>
        <div>{status?.version ?? "\u00a0"}</div>
      </div>
    </nav>
  );
}

/** The clock on every page, so that nobody works on without seeing it stand. */
function TopClock() {
  const { proof, ageText, verdict } = useVerdict();
  const location = useLocation();
  if (location.pathname === "/") return <div className="top-title">Overview</div>;
  return (
    <div className={`top-clock tone-${verdict.tone}`} aria-label="Safe through">
      <span className="dot" />
      <span className="top-clock-name">Safe through</span>
      <span className="num top-clock-time">{proof ? clockTime(proof.safeThrough) : "–"}</span>
      <span className="top-clock-note">{verdict.tone === "good" ? `${ageText} ago` : verdict.words}</span>
    </div>
  );
}

function Search({ inputRef }: { inputRef: React.RefObject<InputRef | null> }) {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  return (
    <Input
      ref={inputRef}
      className="top-search"
      value={text}
      onChange={(e) => setText(e.target.value)}
      prefix={<SearchOutlined />}
      suffix={<kbd>/</kbd>}
      placeholder="Account or transfer id, address, break id"
      aria-label="Search"
      maxLength={160}
      spellCheck={false}
      onKeyDown={(e) => {
        if (e.key === "Escape") inputRef.current?.blur();
      }}
      onPressEnter={() => {
        const q = text.trim();
        if (q === "") return;
        setText("");
        inputRef.current?.blur();
        void navigate(/^[0-9a-f]{32}$/.test(q) && /[a-f]/.test(q) ? `/breaks/${q}` : `/accounts?q=${encodeURIComponent(q)}`);
      }}
    />
  );
}

function Banners() {
  const away = useAway();
  const { watch, proof } = useVerdict();
  const status = useStatus();
  if (away) {
    const since = away.since > 0 ? ` What you see is from ${clockTime(BigInt(away.since) * 1_000_000n)}.` : "";
    return (
      <div className="banner banner-bad" role="alert">
        <b>The server does not answer.</b>
        {since} It is asked again every second.
      </div>
    );
  }
  const held = status.data?.clock === 2;
  const full = status.data?.disk === 2;
  return (
    <>
      {held && (
        <div className="banner banner-bad" role="alert">
          <b>The clock jumped forward: writes wait.</b> Check it, then run <code>sterling ledger accept-clock</code>.
        </div>
      )}
      {full && (
        <div className="banner banner-bad" role="alert">
          <b>The journal's disk is full.</b> Writes are refused; reads go on.
        </div>
      )}
      {watch.state === "not-running" && (
        <div className="banner banner-bad" role="alert">
          <b>Watch is not running.</b> Payments go on, and nothing proves them safe: {watch.text || "it does not answer"}.
        </div>
      )}
      {proof?.dryRun && (
        <div className="banner banner-warn">
          <b>Dry run.</b> Watch reports what it would freeze, and freezes nothing.
        </div>
      )}
    </>
  );
}

function KeysHelp({ open, close }: { open: boolean; close: () => void }) {
  const keys: [string, string][] = [
    ...navigation.map((p): [string, string] => [`g ${p.key}`, p.name]),
    ["/", "Search"],
    ["j  k", "Next and previous row of a list"],
    ["Enter", "Open the row"],
    ["Esc", "Close, back to the list"],
    ["g d", "Light or dark"],
    ["?", "This list"],
  ];
  return (
    // The focus stays where it is when it closes: by then it may be in the search already, and would be taken from it.
    <Modal open={open} onCancel={close} footer={null} title="Keys" width={380} focusable={{ focusTriggerAfterClose: false }}>
      <table className="keys">
        <tbody>
          {keys.map(([key, what]) => (
            <tr key={key}>
              <td>
                {key.split(/ +/).map((k) => (
                  <kbd key={k}>{k}</kbd>
                ))}
              </td>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Modal>
  );
}
