// Elements without a framework: h("p", {class: "muted"}, "text").
const h = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, "")
    else if (value !== false && value != null) element.setAttribute(name, value)
  }
  element.append(...children.flat().filter((child) => child != null && child !== false))
  return element
}
// The children of an element, without those that are not there.
const fill = (element, ...children) => element.replaceChildren(...children.flat().filter((child) => child != null && child !== false))
// A press sends a message, and the button tells so at once and until it was heard, whatever the server does meanwhile.
const press = (model, message) => ({currentTarget: button}) => {
  button.setAttribute("aria-busy", "true")
  model.on("msg:custom", (told) => { if (told?.heard) button.removeAttribute("aria-busy") })
  model.send_msg({...message, pressed: true})
}
const stateOf = (model) => JSON.parse(model.state)
// Calls draw(state) now and at each change.
const follow = (model, draw) => { model.on("state", () => draw(stateOf(model))); draw(stateOf(model)) }
// Dims, in a moment, what lies beside this view in its column and takes its opacity from the variable. Not by a class that
// Python sets: at each of those Bokeh lays out the whole page.
const dim = (el, variable, stale) => {
  const column = el.getRootNode().host?.getRootNode().host
  if (!column) return
  clearTimeout(column[variable])
  if (stale) column[variable] = setTimeout(() => column.style.setProperty(variable, 0.4), 250)
  else column.style.removeProperty(variable)
}
