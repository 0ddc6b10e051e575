// Says when the page around it takes changes, and which theme the notebook has: then, and at each switch.
export function render({model, view}) {
  const dark = () => document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark")
  const root = view.root.model.id
  let told
  const tell = (more) => { told = dark(); model.send_msg({dark: told, ...more}) }
  const knock = () => root in Bokeh.index ? tell({open: true}) : setTimeout(knock, 20)
  const eye = new MutationObserver(() => { if (told != null && told !== dark()) tell({}) })
  eye.observe(document.body, {attributes: true, attributeFilter: ["data-jp-theme-light", "class"]})
  knock()
  return () => eye.disconnect()
}
