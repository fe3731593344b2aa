// Live charts on uPlot: thin lines over the last five minutes, in the theme's colours.
import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import { chartSeconds } from "../lib/live";
import { mode, onMode } from "../lib/theme";

/** A line of a chart. */
export interface Line {
  name: string;
  /** A variable of styles.css, such as "--chart-1". */
  colour: string;
  fill?: boolean;
}

/** Values over time, all of the same length. NaN leaves a gap. */
export interface ChartProps {
  at: number[];
  lines: Line[];
  values: number[][];
  height: number;
  format: (value: number) => string;
  label: string;
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(p: ChartProps, width: number): uPlot.Options {
  const axis = { stroke: css("--quiet"), font: "11px 'Inter Variable', sans-serif", ticks: { show: false }, gap: 4 };
  const grid = { stroke: css("--line"), width: 1 };
  return {
    width,
    height: p.height,
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
    scales: {
      x: { time: true, range: (_u, _min, max) => { const end = max || Date.now() / 1000; return [end - chartSeconds, end]; } },
      y: { range: (_u, _min, max) => [0, Math.max(1, (max || 0) * 1.15)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 22, space: 70, values: (_u, ticks) => ticks.map(timeTick) },
      { ...axis, grid, size: 46, space: 34, values: (_u, ticks) => ticks.map((t) => p.format(t)) },
    ],
    series: [
      {},
      ...p.lines.map((l) => ({
        label: l.name,
        stroke: css(l.colour),
        width: 1.5,
        spanGaps: false,
        points: { show: false },
        ...(l.fill ? { fill: `${css(l.colour)}22` } : {}),
      })),
    ],
  };
}

function timeTick(t: number): string {
  const d = new Date(t * 1000);
  const two = (n: number) => n.toString().padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}${d.getSeconds() ? `:${two(d.getSeconds())}` : ""}`;
}

/** Draws lines that grow to the right. */
export function Chart(p: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(p);
  latest.current = p;
  const theme = useSyncExternalStore(onMode, mode);
  const shape = p.lines.map((l) => l.name + l.colour).join();
  useEffect(() => {
    const at = frame.current;
    if (!at) return;
    // The colours are variables of the theme, which is set on the document before the next frame.
    const begin = requestAnimationFrame(() => {
      const now = latest.current;
      plot.current = new uPlot(options(now, at.clientWidth), dataOf(now), at);
    });
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: at.clientWidth, height: latest.current.height }));
    observer.observe(at);
    return () => {
      cancelAnimationFrame(begin);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [theme, shape]);
  useEffect(() => plot.current?.setData(dataOf(p)), [p.at, p.values]);
  return <div ref={frame} className="chart" role="img" aria-label={p.label} data-height={p.height} />;
}

function dataOf(p: ChartProps): uPlot.AlignedData {
  // Without a sample the axis still ends now.
  if (p.at.length === 0) return [[Date.now() / 1000], ...p.lines.map(() => [null])] as uPlot.AlignedData;
  return [p.at, ...p.values.map((line) => line.map((v) => (Number.isNaN(v) ? null : v)))] as uPlot.AlignedData;
}
