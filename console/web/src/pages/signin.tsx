// Signing in: a token is tried against the server before it is kept.
import { Alert, Button, Form, Input } from "antd";
import { useState } from "react";
import { admin, faultOf } from "../lib/api";
import { signIn, signOutNotice } from "../lib/session";
import { Mark } from "../parts/mark";
import { ThemeButton } from "../parts/theme";

/** Asks for a token. */
export function SignInPage() {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const notice = signOutNotice();
  const submit = async ({ token }: { token: string }) => {
    const text = token.trim();
    setBusy(true);
    setFault("");
    try {
      await admin.status({}, { headers: { Authorization: `Bearer ${text}` } });
      signIn(text);
    } catch (error) {
      const f = faultOf(error);
      // A token that may not ask for the status is a token all the same.
      if (f.kind === "refused") return signIn(text);
      setFault(f.kind === "signed-out" ? "The server does not know this token, or it has expired." : `Not signed in: ${f.text}.`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="signin">
      <div className="signin-theme">
        <ThemeButton />
      </div>
      <section className="signin-box">
        <div className="brand brand-large">
          <Mark size={30} />
          <span>Sterling</span>
        </div>
        <p className="signin-where">
          Console of <span className="mono">{window.location.host}</span>
        </p>
        {notice && !fault && <Alert type="warning" showIcon title={notice} className="gap-below" />}
        {fault && <Alert type="error" showIcon title={fault} className="gap-below" role="alert" />}
        <Form layout="vertical" onFinish={submit} requiredMark={false} disabled={busy}>
          <Form.Item name="token" label="Token" rules={[{ required: true, whitespace: true, message: "Enter a token." }]}>
            <Input.Password className="mono" autoFocus autoComplete="off" spellCheck={false} size="large" placeholder="sterling_…" maxLength={16384} />
          </Form.Item>
          <Button type="primary" htmlType="submit" block size="large" loading={busy}>
            Sign in
          </Button>
        </Form>
        <p className="signin-help">
          On the server's machine, the first token is in the file <code>admin.token</code> of the data folder. Others
          are made with <code>sterling token create</code>. It is kept in this tab only, until you sign out or close it.
        </p>
      </section>
    </main>
  );
}
