// What differs between runs: parameters first, then the numbers, each with its distance from the first run.
export function render({model, el}) {
  follow(model, (state) => {
    if (!state.keys.length) return el.replaceChildren()
    const wide = state.keys.length + 1
    const section = (title) => h("tr", {class: "section"}, h("th", {colspan: wide}, title))
    const row = ({label, doc, values, apart, differ}) => h("tr", {class: differ ? "differ" : ""}, h("th", {title: doc || ""}, label),
      values.map((value, i) => h("td", {class: "number"}, value, apart?.[i] ? h("span", {class: "muted"}, apart[i]) : null)))
    el.replaceChildren(h("div", {class: "scroll whole"}, h("table", {},
      h("thead", {}, h("tr", {}, h("th"), state.keys.map((key, i) => h("th", {class: "number"}, h("b", {}, state.names[i]),
        h("button", {type: "button", disabled: !state.openable[i], onclick: press(model, {open: key})}, "Open"),
        h("button", {type: "button", "aria-label": `take ${state.names[i]} out`, title: "take it out", onclick: press(model, {remove: key})}, "×"))))),
      h("tbody", {}, state.parameters.length ? [section("Parameters that differ"), ...state.parameters.map((each) => row({...each, differ: true}))] : null,
        section(wide > 2 ? "Numbers, and how far they are from A" : "Numbers"), state.scalars.map(row)))))
  })
}
