// Asking before something is done that cannot be taken back.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export interface Question {
  title: string;
  /** What the button says that does it. */
  verb: string;
  danger?: boolean;
  /** Has to be typed before it can be done. */
  type?: string;
  body?: ComponentChildren;
  /** Does it; its error is shown. Gets what was filled in. */
  act: (form: FormData) => Promise<unknown>;
}

export function Dialog({ question, close }: { question: Question; close: (done: boolean) => void }) {
  const element = useRef<HTMLDialogElement>(null);
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  useEffect(() => {
    element.current?.showModal();
  }, []);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await question.act(new FormData(event.currentTarget as HTMLFormElement));
      close(true);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  const ready = !question.type || typed === question.type;
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onCancel={(event) => { event.preventDefault(); close(false); }}>
      <form onSubmit={submit}>
        <h2 id="dialog-title">{question.title}</h2>
        <div class="dialog-body">{question.body}</div>
        {question.type && (
          <label class="field">Type <code>{question.type}</code> to go on
            <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
          </label>
        )}
        {problem && <p class="problem" role="alert">{problem}</p>}
        <div class="dialog-actions">
          <button type="button" class="ghost" onClick={() => close(false)}>Cancel</button>
          <button type="submit" class={question.danger ? "danger" : "primary"} disabled={!ready || busy}>{busy ? "…" : question.verb}</button>
        </div>
      </form>
    </dialog>
  );
}

/** A question that a page can ask, and where it is shown. */
export function useQuestion(done?: () => void): [ComponentChildren, (question: Question) => void] {
  const [question, ask] = useState<Question>();
  const shown = question && <Dialog question={question} close={(was) => { ask(undefined); if (was) done?.(); }} />;
  return [shown, ask];
}
