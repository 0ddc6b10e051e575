// Says when the page around it takes changes, and which theme the notebook has: then, and at each switch.
export function render({model, view}) {
  const dark = () => document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark")
  const root = view.root.model
  let name, told, waiting, wait = 500, knocks = 0
  const tell = (more) => { told = dark(); model.send_msg({dark: told, ...more}) }
  const knock = () => {
    if (root.children.length > 1) return
    const ready = root.id in Bokeh.index && reach(model.document)
    if (ready) {
      if (knocks++ % 6 === 0) name = Math.random()  // to one name the door is opened once; what it was opened for may be lost
      tell({open: name})
    }
    waiting = setTimeout(knock, ready ? wait = Math.min(1.5 * wait, 5000) : 20)
  }
  const eye = new MutationObserver(() => { if (told != null && told !== dark()) tell({}) })
  eye.observe(document.body, {attributes: true, attributeFilter: ["data-jp-theme-light", "class"]})
  knock()
  let known = false
  const pulse = setInterval(() => {  // a page whose kernel has gone would take what one sets, and do nothing
    const here = root.id in (window.PyViz?.kernels ?? {})
    if (known && !here) {
      clearInterval(pulse)
      root.setv({children: root.children.slice(0, 1), css_classes: []}, {sync: false})
    }
    known = here
  }, 1000)
  return () => { clearTimeout(waiting); clearInterval(pulse); eye.disconnect() }
}

// Whether what is told now goes to the kernel. It gets lost where JupyterLab has not found the kernel yet (Panel stops to look for it
// after some seconds), and where the kernel hears it before it hears that there is a channel: that waits while a cell runs, and what
// goes through the channel does not. So the door knocks until it is opened.
function reach(page) {
  const channel = [...page._all_models.values()].find((model) => model.type === "panel.models.comm_manager.CommManager")
  if (!channel) return true
  hush(channel)
  channel._blocked = false  // by what got lost
  if (channel._client_comm?.active === false && Date.now() > (channel.looked ??= Date.now()) + GIVEN_UP) look(channel)
  return channel._client_comm?.connected !== false
}

const GIVEN_UP = 3000

function look(channel) {
  const {PyViz} = window, {plot_id, comm_id, client_comm_id} = channel
  channel.looked = Date.now()
  delete PyViz.comms[client_comm_id]
  PyViz.comm_manager.register_target(plot_id, comm_id, (message) => channel.msg_handler(message))
  channel._client_comm = PyViz.comm_manager.get_client_comm(plot_id, client_comm_id, (message) => channel.on_ack(message))
}

// Panel's channel sends back all that has come through it (comm_manager.ts does not look at `sync`, as Bokeh's own session does):
// what comes back late would undo what the page was told since.
function hush(channel) {
  if (channel.hushed) return
  const send = channel._document_changed.bind(channel)
  Object.assign(channel, {hushed: true, _document_changed: (event) => { if (event.sync !== false) send(event) }})
}
