/** Sign-in: by a token. In development, the link of the banner does it. */
import { useSignal } from "@preact/signals";
import { Field } from "../parts/bits.tsx";
import { signedOutBecause, signIn } from "../session.ts";

export function SignIn() {
  const id = useSignal("");
  const token = useSignal("");
  const error = useSignal("");
  const isBusy = useSignal(false);
  async function submit(event: SubmitEvent) {
    event.preventDefault();
    isBusy.value = true;
    try {
      await signIn({ auth_id: id.value.trim(), auth_token: token.value.trim() });
    } catch (refusal) {
      error.value = (refusal as Error).message;
    }
    isBusy.value = false;
  }
  return (
    <main class="signin">
      <form aria-label="Sign in" onSubmit={submit}>
        <h1>conflow</h1>
        {signedOutBecause.value && (
          <p class="warning" role="alert">
            {signedOutBecause.value}
          </p>
        )}
        <Field label="Account" hint="auth_id">
          <input autoComplete="username" required value={id.value} placeholder="MA…" onInput={(e) => (id.value = e.currentTarget.value)} />
        </Field>
        <Field label="Token" hint="auth_token; a read-only one gives a page that shows and changes nothing">
          <input type="password" autoComplete="current-password" required value={token.value} onInput={(e) => (token.value = e.currentTarget.value)} />
        </Field>
        <button type="submit" class="primary" disabled={isBusy.value}>
          Sign in
        </button>
        {error.value && (
          <p class="bad" role="alert">
            {error.value}
          </p>
        )}
        <p class="muted">
          In development mode, <code>conflow serve</code> prints a link that signs in, and the token is in <code>data/dev-token</code>.
        </p>
      </form>
    </main>
  );
}
