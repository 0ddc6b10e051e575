// Ways to choose one value. A field is {name, title, kind: "segments" | "select" | "text" | "several", options: [[value, title]], hint}.
const segments = (field, send) => {
  const buttons = field.options.map(([value, title]) =>
    h("button", {type: "button", role: "radio", name: field.name, onclick: () => send(field.name, value)}, title))
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
  const element = h("input", {type: "text", class: "field", name: field.name, "aria-label": field.title, placeholder: field.hint,
    inputmode: field.inputmode ?? "text", spellcheck: "false", autocomplete: "off",
    onchange: () => send(field.name, element.value.trim())})
  return {element, show: (value) => { if (element.getRootNode().activeElement !== element) element.value = value }}
}

// Any number of them; the value is their names with commas between.
const several = (field, send) => {
  const boxes = field.options.map(([value, title]) => {
    const box = h("input", {type: "checkbox", value, onchange: () => send(field.name, chosen().join(","))})
    return h("label", {}, box, title)
  })
  const chosen = () => boxes.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value)
  const summary = h("summary", {})
  const element = h("details", {class: "several"}, summary, boxes)
  return {element, show: (value) => {
    const names = value.split(",")
    for (const label of boxes) label.firstChild.checked = names.includes(label.firstChild.value)
    const titles = field.options.filter(([name]) => names.includes(name)).map(([, title]) => title)
    summary.textContent = titles.length ? titles.join(", ") : field.hint
  }}
}

const KINDS = {segments, select, text, several}
