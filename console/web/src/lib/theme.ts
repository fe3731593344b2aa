// Light and dark: the system's choice until the person makes one, which is kept on this machine.
import { theme, type ThemeConfig } from "antd";

export type Mode = "light" | "dark";
const place = "sterling.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
system.addEventListener("change", () => listeners.forEach((l) => l()));

/** What is shown. */
export function mode(): Mode {
  const chosen = localStorage.getItem(place);
  return chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
}

/** Changes to the other, and keeps it; a choice equal to the system's is forgotten, so that it follows again. */
export function toggleMode() {
  const next = mode() === "dark" ? "light" : "dark";
  if ((next === "dark") === system.matches) localStorage.removeItem(place);
  else localStorage.setItem(place, next);
  listeners.forEach((l) => l());
}

/** Calls back on every change; for useSyncExternalStore. */
export function onMode(l: () => void): () => void {
  listeners.add(l);
  return () => listeners.delete(l);
}

const font = "'Inter Variable', system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Noto Sans CJK SC', sans-serif";
const mono = "'JetBrains Mono Variable', ui-monospace, 'SF Mono', Menlo, Consolas, monospace";

/** Ant Design in the console's colours; styles.css has the same as variables. */
export function antTheme(m: Mode): ThemeConfig {
  const dark = m === "dark";
  return {
    algorithm: dark ? theme.darkAlgorithm : theme.defaultAlgorithm,
    token: {
      fontFamily: font,
      fontFamilyCode: mono,
      fontSize: 13,
      borderRadius: 4,
      controlHeight: 30,
      colorPrimary: dark ? "#3fa79b" : "#0f6e66",
      colorInfo: dark ? "#3fa79b" : "#0f6e66",
      colorLink: dark ? "#62bfb4" : "#0f6e66",
      colorSuccess: dark ? "#4cb782" : "#187a4c",
      colorWarning: dark ? "#d9a13b" : "#a86a08",
      colorError: dark ? "#ec6a5e" : "#c0352b",
      colorText: dark ? "#d9dfe7" : "#161b22",
      colorTextSecondary: dark ? "#909cab" : "#5a6572",
      colorBgBase: dark ? "#0c0f13" : "#ffffff",
      colorBgLayout: dark ? "#0c0f13" : "#f4f5f7",
      colorBgContainer: dark ? "#13171d" : "#ffffff",
      colorBgElevated: dark ? "#1a2028" : "#ffffff",
      colorBorder: dark ? "#2f3843" : "#d3d9e0",
      colorBorderSecondary: dark ? "#222932" : "#e6e9ed",
      colorBgMask: dark ? "rgba(0, 0, 0, 0.5)" : "rgba(22, 27, 34, 0.28)",
      motion: false, // what is looked at all day does not move by itself
    },
    components: {
      Table: {
        headerBg: "transparent",
        headerColor: dark ? "#909cab" : "#5a6572",
        headerSplitColor: "transparent",
        cellPaddingBlockSM: 5,
        cellPaddingInlineSM: 10,
        rowHoverBg: dark ? "#1a2028" : "#f4f6f8",
      },
    },
  };
}
