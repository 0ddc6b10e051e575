// Starting points that show something.
export function render({model, el}) {
  follow(model, (state) => el.replaceChildren(h("div", {class: "label"}, "Try"), h("div", {class: "chips"},
    state.presets.map(({name, title, doc}) => h("button", {
      type: "button", class: "chip", title: doc, "aria-pressed": String(name === state.active),
      onclick: () => model.send_msg({preset: name}),
    }, title)))))
}
