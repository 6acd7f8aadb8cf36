import { createClient } from "/auth/frontdesk.js";

// The access token lives in the memory of this page, the refresh token in a cookie that no script can read.
const client = createClient({ transport: "bearer" });
const [status, entrance, notes] = ["status", "entrance", "notes"].map((id) => document.getElementById(id));

/** Draws who is signed in. Called after each change, whichever tab it came from. */
async function draw(state) {
  entrance.hidden = state.status !== "signed-out";
  notes.hidden = state.status !== "signed-in";
  notes.querySelector("ul").replaceChildren();
  if (state.status === "changed") location.reload(); // somebody else: nothing of the one before may stay
  if (state.status === "signed-out") status.textContent = "Nobody is signed in.";
  if (state.status === "signed-in") {
    status.textContent = "You are signed in.";
    list(await client.fetch("/api/notes"));
  }
}

async function list(answer) {
  if (!answer.ok) return;
  const lines = (await answer.json()).map((text) => Object.assign(document.createElement("li"), { textContent: text }));
  notes.querySelector("ul").replaceChildren(...lines);
}

/** Does what a form asks for, and says what went wrong. */
function onSubmit(form, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await act(Object.fromEntries(new FormData(form)), event.submitter.value);
      form.reset();
    } catch (error) {
      status.textContent = error.message;
    }
  });
}

onSubmit(entrance, async (account, button) => {
  if (button === "up") {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("/auth/register", { method: "POST", headers, body: JSON.stringify(account) });
    if (!answer.ok) {
      const { title, detail } = await answer.json();
      throw new Error(detail ?? title);
    }
  }
  await client.signIn(account);
});
onSubmit(notes, async ({ text }) => list(await client.fetch(`/api/notes?${new URLSearchParams({ text })}`, { method: "POST" })));
document.getElementById("leave").addEventListener("click", () => client.signOut().catch((error) => (status.textContent = error.message)));

client.onChange(draw);
// Who is it? A desk that cannot be asked leaves the page as it is: nobody is drawn as signed out by a network error.
client.refresh().catch((error) => (status.textContent = error.message));
