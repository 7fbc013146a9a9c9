// All data goes into the page as text, through textContent and value, and never as
// HTML. So pasted text cannot run as a script.

const form = document.getElementById("form");
const element = (id) => document.getElementById(id);
const field = (name) => form.elements.namedItem(name);

// read returns the values of the form by the names of the fields, as the server
// expects them.
function read() {
  const values = {};
  for (const control of form.elements) {
    if (control.name) {
      values[control.name] = control.type === "checkbox" ? control.checked : field(control.name).value;
    }
  }
  return values;
}

function fill(values) {
  for (const [name, value] of Object.entries(values)) {
    const control = field(name);
    control[control.type === "checkbox" ? "checked" : "value"] = value;
  }
  hideUnused();
  colour(field("token"));
}

// hideUnused hides the fields that the current choices do not use.
function hideUnused() {
  element("minting").hidden = field("mode").value !== "mint";
  element("pasting").hidden = ["issuer", "secret"].includes(field("source").value);
  element("proving").hidden = field("confirm").value === "";
  element("naming").hidden = field("extract").value === "";
}

// colour shows the three parts of a JWT in three colours. The dots keep the colour of
// the page, and so does all after the third part.
function colour(box) {
  const [header, claims, signature, ...more] = box.value.split(".");
  const parts = [header, claims, signature].filter((part) => part !== undefined).map((part) => make("span", "", part));
  const copy = box.previousElementSibling;
  copy.replaceChildren(...parts.flatMap((part) => [".", part]).slice(1), ...more.map((part) => `.${part}`));
  copy.append(box.value.endsWith("\n") ? " " : ""); // a line that is empty has no height
}

// Only the result of the latest request to the server is shown. cancelPrevious cancels
// the previous request. aria-busy makes assistive technology wait until the outcome is
// complete.
let waiting;
let pending = new AbortController();
function cancelPrevious() {
  clearTimeout(waiting);
  pending.abort();
  pending = new AbortController();
  element("outcome").setAttribute("aria-busy", "true");
}

// check sends the form to the server and shows the result.
async function check() {
  cancelPrevious();
  const { signal } = pending;
  try {
    let result = await send(signal);
    if (/ error="use_dpop_nonce"/.test(result.answer) && field("proofClaims").value.includes("{nonce}")) {
      result = await send(signal); // as client libraries do, with the nonce of the answer
    }
    show(result);
  } catch (error) {
    if (error.name !== "AbortError") {
      fail(error);
    }
  }
}

// nonce is the DPoP-Nonce of the last answer that had one.
let nonce = "";

// send sends the form to the server, with a proof if the request has one.
async function send(signal) {
  const values = read();
  values.proof = "";
  const key = await keys[values.proofKey];
  values.claims = values.claims.replaceAll("{jkt}", (await keys.page).thumbprint);
  if (values.confirm && values.request.includes("{proof}")) {
    if (values.mode === "mint") {
      // The proof has the hash of the token, so the token comes first.
      const { token } = await post("mint", values, signal);
      if (token) {
        Object.assign(values, { mode: "paste", token });
      }
    }
    values.proof = await prove(key, values);
  }
  const result = await post("api", values, signal);
  nonce = result.nonce || nonce;
  return { ...result, proof: values.proof };
}

function post(path, values, signal) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values), signal });
}

// The keys of the client that this page is. The browser does not let anybody read the
// private keys, not even this page: they are not extractable.
const keys = { page: makeKey(), other: makeKey() };
async function makeKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const jwk = JSON.stringify({ crv, kty, x, y }); // in the form of which the thumbprint is made (RFC 7638)
  return { privateKey: pair.privateKey, jwk, thumbprint: await hash(jwk) };
}

// prove returns a proof for the request of the form (RFC 9449 section 4.2).
async function prove(key, values) {
  const header = values.proofHeader.replaceAll("{jwk}", key.jwk);
  const claims = values.proofClaims
    .replaceAll("{jti}", crypto.randomUUID())
    .replaceAll("{iat}", String(Math.floor(Date.now() / 1000)))
    .replaceAll("{ath}", await hash(values.token.trim()))
    .replaceAll("{nonce}", nonce);
  const input = `${encode(header)}.${encode(claims)}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.privateKey, new TextEncoder().encode(input));
  return `${input}.${encode(new Uint8Array(signature))}`;
}

async function hash(text) {
  return encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
}

// encode returns the base64url of a text or of bytes.
function encode(data) {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// checkSoon calls check when the user has stopped typing.
function checkSoon() {
  cancelPrevious();
  waiting = setTimeout(check, 250);
}

async function ask(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    throw new Error(`${response.status}: ${await response.text()}`);
  }
  return response.json();
}

function fail(error) {
  conclude("cannot tell", "No outcome from the playground", "", "", [error.message]);
}

function show(result) {
  if (field("mode").value === "mint") {
    field("token").value = result.token;
  } else {
    field("header").value = result.header;
    field("claims").value = result.claims;
  }

  field("proof").value = result.proof;
  colour(field("token"));
  colour(field("proof"));
  element("log").textContent = result.log || "nothing";
  element("steps").replaceChildren(...result.steps.map(row));
  element("answer").textContent = result.answer || "nothing: there is no outcome";
  element("code").textContent = result.code || "// no code: see the outcome";
  element("copy").hidden = !result.code;
  write(element("copy"), "Copy"); // in place of "Copied"
  write(element("code-problem"), result.codeProblem && `New refuses the options in this code: ${result.codeProblem}`);

  const last = result.steps.findLast((step) => step.state !== "not reached");
  if (result.problems) {
    conclude("refused", "No gate was made of these options", "", "", result.problems);
  } else {
    const labels = (result.is || []).map((name) => `jwtgate.${name}`).join(", ");
    conclude(last.state, result.summary, result.err, labels && `errors.Is: ${labels} · Reason: ${result.reason}`, []);
  }
}

// conclude shows the outcome. Screen readers announce the parts that have changed, so
// the other parts are left alone.
function conclude(state, summary, why, labels, problems) {
  document.querySelector(".verdict").dataset.state = state;
  document.querySelector(".verdict use").setAttribute("href", `#${state.replace(" ", "-")}`);
  write(element("summary"), summary);
  write(element("why"), why);
  write(element("labels"), labels);
  if (problems.join() !== [...element("problems").children].map((item) => item.textContent).join()) {
    element("problems").replaceChildren(...problems.map((problem) => make("li", "", problem)));
  }
  element("outcome").setAttribute("aria-busy", "false");
}

// row returns the list item for a step of the path.
function row(step) {
  const item = make("li");
  item.dataset.step = step.id;
  item.dataset.state = step.state;
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("class", "icon");
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${step.state.replace(" ", "-")}`);
  icon.append(use);
  item.append(icon, make("span", "title", step.title), make("span", "state", step.state));
  item.append(make("span", step.detail ? "detail" : "about", step.detail || step.about));
  return item;
}

function make(name, className, text) {
  const made = document.createElement(name);
  if (className) {
    made.className = className;
  }
  made.textContent = text;
  return made;
}

// write sets the text of an element if it has changed.
function write(target, text) {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

// placeToken puts {token} into the header line that the extractor reads.
function placeToken() {
  const name = field("extractName");
  const kind = field("extract").value;
  if (name.value === "") {
    name.value = { cookie: "__Host-session", header: "X-Access-Token" }[kind] || "";
  }
  const bound = field("confirm").value !== "";
  const header = bound ? "Authorization: DPoP {token}\nDPoP: {proof}" : "Authorization: Bearer {token}";
  const line = { "": header, cookie: `Cookie: ${name.value}={token}`, header: `${name.value}: {token}` }[kind];
  const request = field("request");
  request.value = request.value.split("\n").filter((old) => !old.includes("{proof}")).map((old) => (old.includes("{token}") ? line : old)).join("\n");
}

// nameKey sets alg and kid in the header to the values of the chosen key. It leaves a
// header that is not JSON unchanged.
function nameKey() {
  const [option] = field("key").selectedOptions;
  const [alg, kid] = option.text.split(":")[0].split(", ");
  try {
    const header = JSON.parse(field("header").value);
    field("header").value = JSON.stringify({ ...header, alg, kid }, null, 2);
  } catch {
    // The user has made the header invalid on purpose.
  }
}

const scheme = /^\s*(authorization:\s*)?(bearer|dpop)\s+(?=\S)/i;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const preset = element("presets").querySelector("[aria-pressed=true]");
  if (preset) {
    preset.click(); // the times in the form may have become old
  } else {
    check();
  }
});
form.addEventListener("input", ({ target }) => {
  switch (target.name) {
    case "token":
      // Users also copy the scheme. It is part of the request, not of the token.
      if (scheme.test(target.value)) {
        target.value = target.value.replace(scheme, "");
      }
      field("mode").value = "paste";
      colour(target);
      break;
    case "header":
    case "claims":
      field("mode").value = "mint";
      break;
    case "key":
      nameKey();
      break;
    case "confirm":
      placeToken();
      break;
    case "extract":
      field("extractName").value = "";
      placeToken();
      break;
    case "extractName":
      placeToken();
      break;
  }
  markPreset(null);
  write(element("preset-about"), ""); // the sentence is about the preset without the edit
  hideUnused();
  checkSoon();
});
element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(element("code").textContent);
    element("copy").textContent = "Copied";
  } catch {
    element("copy").textContent = "Not permitted";
  }
});

// On a narrow screen the presets scroll sideways. Browsers leave a button with the focus
// where it is if a part of it is visible. A button that moves under the mouse gets no
// click, so only the keyboard moves it.
element("presets").addEventListener("focusin", ({ target }) => {
  if (target.matches(":focus-visible")) {
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
});

// markPreset marks a preset's button as pressed and the others as not pressed. null
// marks none.
function markPreset(pressed) {
  for (const button of element("presets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === pressed));
  }
}

// applyPreset fills in a preset. It fetches the presets again, because the times in
// their claims are relative to the current time.
async function applyPreset(id, button) {
  cancelPrevious();
  try {
    const presets = await ask("presets", { signal: pending.signal });
    const preset = presets.find((each) => each.id === id);
    const good = presets.find((each) => each.group === preset.group);
    fill(preset.form);
    fold((name) => preset.form[name] !== good.form[name]);
    markPreset(button);
    write(element("preset-about"), preset.about);
    await check();
  } catch (error) {
    if (error.name !== "AbortError") {
      fail(error);
    }
  }
}

// fold opens the groups of options in which a field has changed. On a narrow screen it
// closes the others.
function fold(changed) {
  const narrow = matchMedia("(max-width: 48rem)").matches;
  for (const group of form.querySelectorAll("details")) {
    group.open = [...group.querySelectorAll("[name]")].some(({ name }) => changed(name)) || (group.open && !narrow);
  }
}

// The head of the outcome sticks to the top of the window. The padding keeps the
// focused element and its label from scrolling under it.
new ResizeObserver(([{ target }]) => {
  document.documentElement.style.scrollPaddingTop = `${target.offsetHeight + 40}px`;
}).observe(element("head"));

async function start() {
  try {
    const presets = await ask("presets");
    const groups = new Map();
    for (const preset of presets) {
      const button = make("button", "", preset.label);
      button.type = "button";
      button.dataset.preset = preset.id;
      button.addEventListener("click", () => applyPreset(preset.id, button));
      if (!groups.has(preset.group)) {
        const group = make("div", "group");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", preset.group);
        group.append(make("span", "", preset.group), make("div", ""));
        groups.set(preset.group, group);
      }
      groups.get(preset.group).lastChild.append(button);
    }
    element("presets").replaceChildren(...groups.values());
    await applyPreset(presets[0].id, element("presets").querySelector("button"));
  } catch (error) {
    fail(error);
  }
}

start();
