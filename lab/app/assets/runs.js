// The kept runs of a study, each with a tick.
export function render({model, el}) {
  const says = h("p", {class: "muted small", role: "status"})
  const body = h("div", {class: "scroll"})
  el.append(says, body)
  let drawn = ""
  follow(model, (state) => {
    says.textContent = state.says
    const shape = JSON.stringify([state.rows, state.heads, state.full])
    if (shape === drawn) return
    drawn = shape
    const focused = el.getRootNode().activeElement?.name
    const tick = (row) => h("input", {type: "checkbox", name: row.key, checked: row.on, disabled: state.full && !row.on,
      "aria-label": `compare ${row.parameters}`, title: state.full && !row.on ? "take another one out first" : "",
      onchange: (event) => model.send_msg({key: row.key, on: event.target.checked})})
    body.replaceChildren(...(state.rows.length ? [h("table", {},
      h("thead", {}, h("tr", {}, h("th"), ["parameters", "data", ...state.heads, "kept"].map((head, i) =>
        h("th", {class: i > 1 && i < state.heads.length + 2 ? "number" : ""}, head)))),
      h("tbody", {}, state.rows.map((row) => h("tr", {class: row.on ? "on" : "", onclick: (event) => {
        if (event.target.tagName !== "INPUT") event.currentTarget.querySelector("input").click()
      }},
        h("td", {}, tick(row)), h("td", {class: "what"}, row.parameters), h("td", {class: "what"}, row.data),
        row.numbers.map((value) => h("td", {class: "number"}, value)), h("td", {class: "muted when"}, row.when)))))] : []))
    if (focused) el.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus()
  })
}
