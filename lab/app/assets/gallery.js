// One chip for each field, and one for all.
export function render({model, el}) {
  follow(model, (state) => fill(el, h("div", {class: "fields", role: "group", "aria-label": "Fields"}, state.chips.map(([name, title, count]) =>
    h("button", {type: "button", class: "chip", "aria-pressed": String(name === state.active), onclick: press(model, {field: name})},
      `${title} ${count}`)), h("span", {class: "key"}, "bar: claims that held, of all that can be checked"))))
}
