/**
 * The form that takes the admin token, and what is remembered of it: that there was a session, never the token.
 */
import { api } from "./api.js";
import { element, fill, freshId } from "./dom.js";

/** Without it the first thing a visitor's browser did would be a request that is refused. */
const REMEMBERED = "gateway-signed-in";

export const signedIn = {
  get: () => localStorage.getItem(REMEMBERED) === "yes",
  /** @param {boolean} yes */
  set: (yes) => (yes ? localStorage.setItem(REMEMBERED, "yes") : localStorage.removeItem(REMEMBERED)),
};

/**
 * @param {object} options
 * @param {string} [options.message]  Why it is shown again
 * @param {() => void} options.entered
 */
export function createSignIn({ message = "", entered }) {
  const [id, errorId] = [freshId(), freshId()];
  const error = element("p", { id: errorId, class: "form-error", role: "alert" }, message);
  const token = element("input", {
    id,
    type: "password",
    name: "token",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": errorId,
  });
  const button = element("button", { type: "submit", class: "primary" }, "Sign in");
  const form = element(
    "form",
    { class: "card sign-in", novalidate: true, submit: (event) => void signIn(event) },
    element("h1", {}, element("img", { src: "/page/icon.svg", alt: "", width: 28, height: 28 }), "Bedrock Gateway"),
    // Password managers want to know whose password it is.
    element("input", { type: "text", name: "username", value: "admin", autocomplete: "username", hidden: true }),
    element("label", { for: id }, "Admin token"),
    token,
    element("small", {}, "The value of ADMIN_TOKEN that the gateway was started with."),
    error,
    button,
  );

  /** @param {Event} event */
  async function signIn(event) {
    event.preventDefault();
    if (button.disabled) return;
    if (token.value === "") {
      fill(error, "Type the admin token.");
      token.focus();
      return;
    }
    button.disabled = true;
    fill(error);
    try {
      await api.signIn(token.value);
      signedIn.set(true);
      entered();
    } catch (failure) {
      fill(error, failure instanceof Error ? failure.message : String(failure));
      token.select();
    } finally {
      button.disabled = false;
    }
  }

  return { element: element("main", { class: "entrance" }, form), focus: () => token.focus() };
}
