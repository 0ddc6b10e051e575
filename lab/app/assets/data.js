// The data at hand and those to choose from.
export function render({model, el}) {
  follow(model, (state) => {
    const pick = h("select", {"aria-label": "data set", onchange: () => model.send_msg({data: pick.value})},
      state.own ? h("option", {value: "", selected: true}, state.title) : null,
      state.groups.map(([label, sets]) => h("optgroup", {label}, sets.map(([name, title]) =>
        h("option", {value: name, selected: !state.own && name === state.name}, title)))))
    const facts = h("div", {class: "muted small"}, state.facts)
    const card = h("div", {class: "data"}, pick, state.summary ? h("div", {class: "small"}, state.summary) : null, facts,
      h("div", {class: "muted origin", title: state.origin}, state.origin),
      state.back ? h("button", {type: "button", class: "back", onclick: press(model, {data: state.back})}, "Back to the original") : null)
    fill(el, h("div", {class: "label"}, "Data"), card)
  })
}
