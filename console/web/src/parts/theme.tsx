import { MoonOutlined, SunOutlined } from "@ant-design/icons";
import { Button, Tooltip } from "antd";
import { useSyncExternalStore } from "react";
import { mode, onMode, toggleMode } from "../lib/theme";

/** Light or dark. */
export function ThemeButton() {
  const dark = useSyncExternalStore(onMode, mode) === "dark";
  const label = dark ? "Light mode" : "Dark mode";
  return (
    <Tooltip title={label}>
      <Button type="text" aria-label={label} icon={dark ? <SunOutlined /> : <MoonOutlined />} onClick={toggleMode} />
    </Tooltip>
  );
}
