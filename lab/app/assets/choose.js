// A line of choices: [{name, title, kind: "select" | "segments" | "text", options: [[value, title]], value, hint}], and buttons.
export function render({model, el}) {
  const send = (name, value) => model.send_msg({name, value})
  let drawn = "", parts = []
  follow(model, (state) => {
    const shape = JSON.stringify(state.fields.map(({value, ...rest}) => rest))
    if (shape !== drawn) {
      drawn = shape
      const focused = el.getRootNode().activeElement?.name
      parts = state.fields.map((field) => ({name: field.name, ...KINDS[field.kind](field, send)}))
      fill(el, h("div", {class: "line"}, parts.map((part, i) =>
        h("div", {class: "item"}, h("div", {class: "caption"}, state.fields[i].title), part.element))))
      if (focused) el.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus()
    }
    parts.forEach((part, i) => part.show(state.fields[i].value))
  })
}
