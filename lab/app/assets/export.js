// What is asked of a figure. A field is {name, title, kind, options: [[value, title]], hint, shown}.
export function render({model, el}) {
  const send = (name, value) => model.send_msg({name, value})
  const parts = stateOf(model).fields.map((field) => {
    const part = KINDS[field.kind]({...field, inputmode: "decimal"}, send)
    const row = h("div", {class: "control"}, field.title ? h("div", {class: "caption"}, field.title) : null, part.element)
    el.append(row)
    return {name: field.name, show: part.show, row}
  })
  follow(model, (state) => {
    for (const part of parts) {
      part.show(state.values[part.name])
      part.row.hidden = state.hidden.includes(part.name)
    }
  })
}
