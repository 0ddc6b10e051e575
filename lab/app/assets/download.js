// A button that asks Python for a file and hands it to the browser.
export function render({model, el}) {
  const button = h("button", {type: "button", onclick: () => { button.disabled = true; model.send_msg({}) }})
  model.on("msg:custom", ({name, content}) => {
    button.disabled = !stateOf(model).ready
    const link = h("a", {href: URL.createObjectURL(new Blob([content])), download: name})
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  })
  el.append(button)
  follow(model, (state) => {
    button.textContent = state.label
    button.className = state.strong ? "strong" : ""
    button.disabled = !state.ready
  })
}
