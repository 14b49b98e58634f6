"use strict";
// All text from the service is put in as text, never as markup.

const EVERY_MS = 1000;
const byId = (id) => document.getElementById(id);
let token = new URLSearchParams(location.hash.slice(1)).get("token")
  || sessionStorage.getItem("lepton-token") || "";
if (location.hash) history.replaceState(null, "", location.pathname);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.max(0, seconds);
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 120) return Math.round(s) + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return (s / 3600).toFixed(1) + " h";
  return Math.round(s / 86400) + " d";
}

const percent = (share) => Math.round(100 * share) + " %";
const amounts = (demand) =>
  Object.entries(demand).map(([kind, value]) => +value.toFixed(2) + " " + kind).join(", ");

function places(nodes) {
  const counts = new Map();
  for (const node of nodes) counts.set(node, (counts.get(node) || 0) + 1);
  return [...counts].map(([node, times]) => times > 1 ? node + " x" + times : node).join(", ");
}

function rows(id, lines, numeric, empty) {
  const body = byId(id).tBodies[0];
  body.replaceChildren(...lines.map((cells) => {
    const row = element("tr");
    cells.forEach((cell, column) => {
      const made = element("td", cell, numeric === column ? "num" : "");
      made.title = cell;
      row.append(made);
    });
    return row;
  }));
  if (!lines.length) {
    const cell = element("td", empty, "dim");
    cell.colSpan = 3;
    const row = element("tr");
    row.append(cell);
    body.append(row);
  }
}

function showTiles(all) {
  const ended = Object.values(all.ended).reduce((sum, each) => sum + each, 0);
  const failed = ended - (all.ended.completed || 0);
  const incidents = Object.values(all.incidents).reduce((sum, each) => sum + each, 0);
  const tiles = [
    ["Pending", all.tasks.pending], ["Running", all.tasks.running],
    ["Completed", all.ended.completed || 0], ["Ended otherwise", failed],
    ["Mean wait", duration(all.mean_wait_s)], ["Incidents", incidents],
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, value]) => {
    const tile = element("div", undefined, "tile");
    tile.append(element("span", name, "dim"), element("b", String(value)));
    return tile;
  }));
}

function meter(value) {
  const made = element("meter");
  made.min = 0; made.max = 1; made.value = value;
  made.title = percent(value);
  return made;
}

function showCluster(all) {
  const up = all.nodes.filter((node) => node.state === "up").length;
  byId("cluster-note").textContent = `${up} of ${all.nodes.length} nodes up`;
  byId("shares").replaceChildren(...Object.entries(all.allocated).map(([kind, share]) => {
    const line = element("div", undefined, "share");
    line.append(element("span", kind), meter(share), element("span", percent(share), "num"));
    return line;
  }));
  byId("nodes").replaceChildren(...all.nodes.map((node) => {
    const box = element("div", undefined, "node " + node.state);
    const name = element("div", undefined, "name");
    name.append(element("span", node.name));
    if (node.state === "up") name.append(element("span", percent(node.load), "dim"));
    else name.append(element("span", node.state, node.state === "down" ? "down-text" : "warn-text"));
    box.append(name, meter(node.load));
    box.title = `${node.name} ${node.device_model}\nfree: ${amounts(node.free)}`
      + (node.held_for ? `\nheld for ${node.held_for}` : "");
    return box;
  }));
}

function showTables(all) {
  const ago = (time) => duration(all.now_s - time);
  byId("queue-note").textContent = all.tasks.pending > all.pending.length
    ? `first ${all.pending.length} of ${all.tasks.pending}` : `${all.tasks.pending} tasks`;
  rows("pending", all.pending.map((t) => [t.id, amounts(t.demand), ago(t.submit_s)]), 2,
    "nothing waits");
  byId("running-note").textContent = all.tasks.running > all.running.length
    ? `first ${all.running.length} of ${all.tasks.running}` : `${all.tasks.running} tasks`;
  rows("running", all.running.map((t) => [t.id, places(t.nodes), ago(t.start_s)]), 2,
    "nothing runs");
  const d = all.decisions;
  byId("decisions-note").textContent =
    `${d.start || 0} starts, ${d.wait || 0} waits, ${d.refused || 0} refused`;
  const shown = all.events.filter((event) => event.event !== "submitted").slice(0, 16);
  rows("events", shown.map((e) =>
    [ago(e.time_s), [e.event, e.detail, places(e.nodes)].filter(Boolean).join(" "), e.task || ""]),
    0, "none yet");
  rows("incidents", Object.entries(all.incidents).sort((a, b) => b[1] - a[1])
    .map(([cause, times]) => [cause, String(times)]), 1, "none");
}

function show(all) {
  byId("login").hidden = true;
  byId("page").hidden = false;
  byId("policy").textContent = "policy " + all.policy.name;
  const health = byId("health");
  health.textContent = all.problem ? "not scheduling" : "scheduling";
  health.className = "chip " + (all.problem ? "bad" : "good");
  byId("problem").hidden = !all.problem;
  byId("problem").textContent = all.problem;
  byId("updated").textContent = new Date().toLocaleTimeString();
  showTiles(all);
  showCluster(all);
  showTables(all);
}

function askForToken(problem) {
  byId("page").hidden = true;
  byId("login").hidden = false;
  byId("login-problem").textContent = problem;
  byId("health").textContent = "token needed";
  byId("health").className = "chip";
}

async function update() {
  if (!token) { askForToken(""); return; }
  try {
    const answer = await fetch("/v1/overview", { headers: { Authorization: "Bearer " + token } });
    if (answer.status === 401) {
      token = "";
      sessionStorage.removeItem("lepton-token");
      askForToken("This is not the token of the service.");
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    sessionStorage.setItem("lepton-token", token);
    show(await answer.json());
  } catch (error) {
    byId("health").textContent = "no answer: " + error.message;
    byId("health").className = "chip bad";
  }
  setTimeout(update, EVERY_MS);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  update();
});
update();
