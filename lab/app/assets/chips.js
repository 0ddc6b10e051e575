// Pictures that are not shown here: why, and what one press would set.
export function render({model, el}) {
  follow(model, (state) => fill(el, h("div", {class: "list"}, h("span", {}, "Not shown here:"), (state.chips ?? []).map((chip) =>
    h("span", {class: "chip", title: `${chip.title}: ${chip.why}`}, h("b", {}, chip.title), ` · ${chip.set ? "" : chip.why}`,
      chip.set ? h("button", {type: "button", onclick: press(model, {name: chip.name})}, `set ${chip.set}`) : null)))))
}
