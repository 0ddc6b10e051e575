// What is asked of a figure. A field is {name, title, kind, options: [[value, title]], hint, shown}.
const segments = (field, send) => {
  const buttons = field.options.map(([value, title]) =>
    h("button", {type: "button", role: "radio", onclick: () => send(field.name, value)}, title))
  const step = (event) => {
    const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key]
    if (!way) return
    event.preventDefault()
    const next = buttons[(buttons.indexOf(event.target) + way + buttons.length) % buttons.length]
    next.focus(); next.click()
  }
  const element = h("div", {class: "segments", role: "radiogroup", "aria-label": field.title, onkeydown: step}, buttons)
  return {element, show: (value) => buttons.forEach((button, i) => {
    const on = field.options[i][0] === value
    button.setAttribute("aria-checked", on); button.tabIndex = on ? 0 : -1
  })}
}

const select = (field, send) => {
  const element = h("select", {name: field.name, "aria-label": field.title, onchange: () => send(field.name, element.value)},
    field.options.map(([value, title]) => h("option", {value}, title)))
  return {element, show: (value) => { element.value = value }}
}

const text = (field, send) => {
  const element = h("input", {type: "text", class: "field", name: field.name, "aria-label": field.title, inputmode: "decimal",
    placeholder: field.hint, spellcheck: "false", onchange: () => send(field.name, element.value.trim())})
  return {element, show: (value) => { if (element.getRootNode().activeElement !== element) element.value = value }}
}

const KINDS = {segments, select, text}

export function render({model, el}) {
  const send = (name, value) => model.send_msg({name, value})
  const parts = stateOf(model).fields.map((field) => {
    const part = KINDS[field.kind](field, send)
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
