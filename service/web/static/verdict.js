// The verdict of a review: one of four grades per structure and a note. What was said is told with who and when.

import { ask, getJson } from "./api.js";
import { element } from "./elements.js";

export const GRADES = [
  ["usable-as-is", "Usable as is"],
  ["minor", "Minor edits"],
  ["major", "Major edits"],
  ["not-usable", "Not usable"],
];
const READERS = ["view"];
const word = (grade) => GRADES.find(([value]) => value === grade)?.[1] ?? "Taken back";
const when = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const plain = (name) => name.replaceAll("_", " ");

// Fills `section` with the verdict on that job; `session` says whether one may give any.
export async function mountVerdict(section, job, session) {
  const path = `/api/v1/jobs/${job.id}/verdict`;
  const show = (verdict) => section.replaceChildren(...parts(verdict, READERS.includes(session.role), save));
  const save = async (verdicts) => {
    const options = { method: "PUT", body: JSON.stringify({ verdicts }), headers: { "Content-Type": "application/json" } };
    show(await (await ask(path, options)).json());
    const told = section.querySelector("[role=status]");
    told.textContent = "Recorded.";
    told.focus();
  };
  show(await getJson(path));
}

function parts(verdict, isReader, save) {
  const title = element("h2", "", "Verdict");
  title.id = "verdict-title";
  if (!verdict.structures.length) return [title, element("p", "hint", "There are no contours to give a verdict on.")];
  const made = isReader ? readOnly(verdict) : form(verdict, save);
  return [title, made, ...history(verdict)];
}

function readOnly(verdict) {
  if (!verdict.verdicts.length) return element("p", "hint", "Nobody has given one yet.");
  const list = element("ul", "verdicts");
  list.append(...verdict.verdicts.map((each) => element("li", "", sentence(each))));
  return list;
}

const sentence = (each) =>
  `${plain(each.structure)}: ${word(each.grade).toLowerCase()}${each.note ? ` (${each.note})` : ""}, ${each.reviewer_name}, ${when(each.at)}`;

function form(verdict, save) {
  const made = element("form", "verdict-form");
  const rows = verdict.structures.map((name) => row(name, verdict.verdicts.find((each) => each.structure === name)));
  const told = element("p", "message");
  told.setAttribute("role", "status");
  told.tabIndex = -1;
  const all = button("All usable as is", "button", () => {
    for (const { choose } of rows) choose("usable-as-is");
    refresh();
  });
  const record = button("Record", "submit");
  record.className = "";
  const refresh = () => {
    record.disabled = !rows.some(({ change }) => change());
    told.textContent = record.disabled ? "" : "Not recorded yet.";
  };
  made.addEventListener("input", refresh);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    record.disabled = true;
    save(rows.map(({ change }) => change()).filter(Boolean)).catch((error) => {
      record.disabled = false;
      told.textContent = error.message;
      told.className = "message bad";
    });
  });
  const actions = element("div", "verdict-actions");
  actions.append(record, all);
  made.append(...rows.map(({ part }) => part), actions, told);
  refresh();
  return made;
}

// One structure: four radio buttons side by side, and a note. `change` is what there is to be recorded, if anything.
function row(name, known) {
  const part = element("fieldset", "verdict-row");
  part.append(element("legend", "", plain(name)));
  const choices = element("div", "grades");
  const radios = GRADES.map(([value, text]) => {
    const label = element("label", "grade");
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: `grade-${name}`, value, checked: known?.grade === value });
    label.dataset.grade = value;
    label.append(radio, element("span", "", text));
    choices.append(label);
    return radio;
  });
  const note = element("input", "verdict-note");
  Object.assign(note, { type: "text", maxLength: 2000, value: known?.note ?? "", placeholder: "Note", autocomplete: "off" });
  note.setAttribute("aria-label", `Note on ${plain(name)}`);
  part.append(choices, note);
  if (known) part.append(element("p", "hint", `${known.reviewer_name}, ${when(known.at)}`));
  const graded = () => radios.find((radio) => radio.checked)?.value ?? null;
  return {
    part,
    choose: (grade) => radios.forEach((radio) => (radio.checked = radio.value === grade)),
    change: () => {
      const said = { structure: name, grade: graded(), note: note.value.trim() };
      const isNew = said.grade !== (known?.grade ?? null) || said.note !== (known?.note ?? "");
      return said.grade && isNew ? said : null;
    },
  };
}

function history(verdict) {
  const older = verdict.history.filter((each) => !verdict.verdicts.some((now) => now.structure === each.structure && now.at === each.at));
  if (!older.length) return [];
  const made = element("details", "verdict-history");
  made.append(element("summary", "", `Said before (${older.length})`));
  const list = element("ul", "verdicts");
  list.append(...older.map((each) => element("li", "hint", sentence(each))));
  made.append(list);
  return [made];
}

function button(text, type, action) {
  const made = element("button", "plain", text);
  made.type = type;
  if (action) made.addEventListener("click", action);
  return made;
}
