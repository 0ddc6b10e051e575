// Says when the page around it takes changes, and which theme the notebook has: then, and at each switch.
export function render({model, view}) {
  const dark = () => document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark")
  const root = view.root.model.id
  let told
  const tell = (more) => { told = dark(); model.send_msg({dark: told, ...more}) }
  const knock = () => root in Bokeh.index ? (hush(model.document), tell({open: true})) : setTimeout(knock, 20)
  const eye = new MutationObserver(() => { if (told != null && told !== dark()) tell({}) })
  eye.observe(document.body, {attributes: true, attributeFilter: ["data-jp-theme-light", "class"]})
  knock()
  return () => eye.disconnect()
}

// Panel's channel sends back all that has come through it (comm_manager.ts does not look at `sync`, as Bokeh's own session does):
// what comes back late would undo what the page was told since.
function hush(page) {
  for (const channel of page._all_models.values())
    if (channel.type === "panel.models.comm_manager.CommManager" && !channel.hushed) {
      const send = channel._document_changed.bind(channel)
      Object.assign(channel, {hushed: true, _document_changed: (event) => { if (event.sync !== false) send(event) }})
    }
}
