import "uplot/dist/uPlot.min.css";
import "./fonts.css";
import "./styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const nonce = document.querySelector<HTMLElement>("style[nonce]")?.nonce ?? "";

// Ant Design gives the nonce to its styles, but not to the two that its dialogs make while they are open (the scroll
// lock and its measure). Styles that our own scripts make get it here; what a page's markup brings still has none.
const createElement = document.createElement.bind(document);
document.createElement = ((name: string, options?: ElementCreationOptions) => {
  const element = createElement(name, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
}) as typeof document.createElement;

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App nonce={nonce} />
    </StrictMode>,
  );
}
