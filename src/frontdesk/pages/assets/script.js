"use strict";
// Everything works without this. It adds a button that shows the password that is being typed, and one that copies.
for (const box of document.querySelectorAll(".reveal")) {
  const input = box.querySelector("input");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "show";
  button.setAttribute("aria-controls", input.id);
  const say = () => {
    const hidden = input.type === "password";
    button.textContent = hidden ? "Show" : "Hide";
    button.setAttribute("aria-label", hidden ? "Show the password" : "Hide the password");
  };
  button.addEventListener("click", () => {
    input.type = input.type === "password" ? "text" : "password";
    say();
    input.focus();
  });
  // A password is sent from a password field, so that browsers offer to keep it and never list it as plain text.
  input.form.addEventListener("submit", () => {
    input.type = "password";
    say();
  });
  say();
  box.append(button);
}
for (const figure of document.querySelectorAll(".paste")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  const name = figure.querySelector("figcaption").textContent;
  const say = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", `${word}: ${name}`);
  };
  button.type = "button";
  button.className = "copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(figure.querySelector("code").textContent);
    say("Copied");
  });
  say("Copy");
  figure.append(button);
}
