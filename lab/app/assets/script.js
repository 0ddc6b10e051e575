// Runs a script of Bokeh's, and says so.
export function render({model}) {
  const script = document.createElement("script")
  script.textContent = model.code
  document.head.append(script)
  model.send_msg({})
}
