// What comes from anybody goes into the page as text, through textContent and
// value, and never as HTML.

const form = document.getElementById("form");
const element = (id) => document.getElementById(id);
const field = (name) => form.elements.namedItem(name);

// read returns the form as the server takes it: by the names of its fields.
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
  arrange();
}

// arrange hides what the choices that were made leave without a meaning.
function arrange() {
  element("minting").hidden = field("mode").value !== "mint";
  element("pasting").hidden = ["issuer", "secret"].includes(field("source").value);
  element("naming").hidden = field("extract").value === "";
}

// Only the last question counts: expect takes back all others, and has assistive
// technology wait until the outcome is all there.
let waiting;
let asking = new AbortController();
function expect() {
  clearTimeout(waiting);
  asking.abort();
  asking = new AbortController();
  element("outcome").setAttribute("aria-busy", "true");
}

// check asks the server and shows what it says.
async function check() {
  expect();
  try {
    show(await ask("api", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(read()),
      signal: asking.signal,
    }));
  } catch (error) {
    if (error.name !== "AbortError") {
      fail(error);
    }
  }
}

function checkSoon() {
  expect();
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

  element("steps").replaceChildren(...result.steps.map(row));
  element("answer").textContent = result.answer || "nothing: there is no outcome";
  element("code").textContent = result.code || "// no code: see the outcome";
  element("copy").hidden = !result.code;
  write(element("code-problem"), result.codeProblem && `Here New would say: ${result.codeProblem}`);

  const last = result.steps.findLast((step) => step.state !== "not reached");
  if (result.problems) {
    conclude("refused", "No gate was made of these options", "", "", result.problems);
  } else {
    const labels = (result.is || []).map((name) => `jwtgate.${name}`).join(", ");
    conclude(last.state, result.summary, result.err, labels && `errors.Is: ${labels} · Reason: ${result.reason}`, []);
  }
}

// conclude writes the outcome, which is read aloud where it has changed.
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

// row returns a step of the path.
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

function write(target, text) {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

// carry puts the token where the extractor looks for it.
function carry() {
  const name = field("extractName");
  const kind = field("extract").value;
  if (name.value === "") {
    name.value = { cookie: "__Host-session", header: "X-Access-Token" }[kind] || "";
  }
  const line = { "": "Authorization: Bearer {token}", cookie: `Cookie: ${name.value}={token}`, header: `${name.value}: {token}` }[kind];
  const request = field("request");
  request.value = request.value.split("\n").map((old) => (old.includes("{token}") ? line : old)).join("\n");
}

// sign makes the header name the key that is to sign, if it is one to write to.
function sign() {
  const [option] = field("key").selectedOptions;
  const [alg, kid] = option.text.split(":")[0].split(", ");
  try {
    const header = JSON.parse(field("header").value);
    field("header").value = JSON.stringify({ ...header, alg, kid }, null, 2);
  } catch {
    // It was broken on purpose, and stays as it is.
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
form.addEventListener("input", ({ target }) => {
  switch (target.name) {
    case "token":
      field("mode").value = "paste";
      break;
    case "header":
    case "claims":
      field("mode").value = "mint";
      break;
    case "key":
      sign();
      break;
    case "extract":
      field("extractName").value = "";
      carry();
      break;
    case "extractName":
      carry();
      break;
  }
  press(null);
  arrange();
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

// press marks the preset that the form stands as, if it is one.
function press(pressed) {
  for (const button of element("presets").children) {
    button.setAttribute("aria-pressed", String(button === pressed));
  }
}

// apply fetches the presets anew, whose times are for now.
async function apply(id, button) {
  expect();
  try {
    const preset = (await ask("presets")).find((each) => each.id === id);
    fill(preset.form);
    press(button);
    write(element("preset-about"), preset.about);
    await check();
  } catch (error) {
    fail(error);
  }
}

// The outcome stays in sight, and what gets the focus is to stay clear of it.
new ResizeObserver(([{ target }]) => {
  document.documentElement.style.scrollPaddingTop = `${target.offsetHeight + 16}px`;
}).observe(document.querySelector(".verdict"));

async function start() {
  try {
    const presets = await ask("presets");
    const buttons = presets.map((preset) => {
      const button = make("button", "", preset.label);
      button.type = "button";
      button.dataset.preset = preset.id;
      button.addEventListener("click", () => apply(preset.id, button));
      return button;
    });
    element("presets").replaceChildren(...buttons);
    await apply(presets[0].id, buttons[0]);
  } catch (error) {
    fail(error);
  }
}

start();
