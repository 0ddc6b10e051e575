// Keeps the present run in the store.
export function render({model, el}) {
  const button = h("button", {type: "button", onclick: () => { button.disabled = true; model.send_msg({}) },
    title: "Put this run into the store, where Compare, the command line and Python find it; a run that went on from its neighbour is computed anew from the start"})
  const said = h("span", {class: "muted small", role: "status"})
  el.append(h("div", {class: "keep"}, button, said))
  follow(model, (state) => {
    button.textContent = state.kept === "keeping" ? "Keeping …" : "Keep this run"
    button.disabled = !state.ready || state.kept !== ""
    said.textContent = state.kept === "kept" ? "✓ kept" : ""
  })
}
