// A button that counts how often it was pressed.
export function render({model, el}) {
  const button = h("button", {type: "button", onclick: () => { model.clicks += 1 }})
  const dress = () => { button.textContent = model.label }
  model.on("label", dress)
  dress()
  el.append(button)
}
