// The whole: theme, session, pages.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App as AntApp, ConfigProvider } from "antd";
import { useEffect, useState, useSyncExternalStore } from "react";
import { BrowserRouter, Route, Routes } from "react-router";
import { faultOf } from "./lib/api";
import { forgetSamples } from "./lib/live";
import { onSession, token } from "./lib/session";
import { antTheme, mode, onMode } from "./lib/theme";
import { AccountPage } from "./pages/account";
import { AccountsPage } from "./pages/accounts";
import { BreaksPage } from "./pages/breaks";
import { FlowsPage } from "./pages/flows";
import { NothingPage } from "./pages/nothing";
import { OverviewPage } from "./pages/overview";
import { ProofsPage } from "./pages/proofs";
import { SandboxesPage } from "./pages/sandboxes";
import { SignInPage } from "./pages/signin";
import { TransferPage } from "./pages/transfer";
import { Shell } from "./parts/shell";

function newQueries() {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // What is polled is asked again anyway; what is not is asked again once, unless the answer was a refusal.
        retry: (failures, error) => failures < 1 && ["away", "busy"].includes(faultOf(error).kind),
        retryDelay: 500,
        networkMode: "always",
        refetchOnWindowFocus: false,
        staleTime: 500,
      },
      mutations: { networkMode: "always" },
    },
  });
}

/** The console. The nonce is that of the page's policy, for styles made at run time. */
export function App({ nonce }: { nonce: string }) {
  const shown = useSyncExternalStore(onMode, mode);
  useEffect(() => {
    document.documentElement.dataset["theme"] = shown;
  }, [shown]);
  return (
    <ConfigProvider csp={{ nonce }} theme={antTheme(shown)} componentSize="middle" wave={{ disabled: true }}>
      <AntApp message={{ maxCount: 2, top: 56 }} component={false}>
        <BrowserRouter>
          <Session />
        </BrowserRouter>
      </AntApp>
    </ConfigProvider>
  );
}

/** One signed-in person; with another token nothing of the first is left. */
function Session() {
  const current = useSyncExternalStore(onSession, token);
  if (current === null) return <SignInPage />;
  return <SignedIn key={current} />;
}

function SignedIn() {
  const [queries] = useState(newQueries);
  useEffect(() => {
    return () => {
      queries.clear();
      forgetSamples();
    };
  }, [queries]);
  return (
    <QueryClientProvider client={queries}>
      <Routes>
        <Route element={<Shell />}>
          <Route index element={<OverviewPage />} />
          <Route path="accounts" element={<AccountsPage />} />
          <Route path="accounts/:id" element={<AccountPage />} />
          <Route path="transfers/:id" element={<TransferPage />} />
          <Route path="breaks" element={<BreaksPage />} />
          <Route path="breaks/:id" element={<BreaksPage />} />
          <Route path="flows" element={<FlowsPage />} />
          <Route path="proofs" element={<ProofsPage />} />
          <Route path="sandboxes" element={<SandboxesPage />} />
          <Route path="sandboxes/:id" element={<SandboxesPage />} />
          <Route path="*" element={<NothingPage />} />
        </Route>
      </Routes>
    </QueryClientProvider>
  );
}
