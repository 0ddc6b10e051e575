// The head of a card: what the picture is, how to read it, and what is going on with it. Tells when it comes in sight.
const saveAs = (name, content) => {
  const link = h("a", {href: URL.createObjectURL(new Blob([content])), download: name})
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

export function render({model, el, view}) {
  const eye = new IntersectionObserver((entries) => {
    const seen = entries.at(-1).isIntersecting
    if (seen !== model.seen) model.seen = seen
  }, {rootMargin: "400px"})
  eye.observe(el)
  let fits = null
  const ruler = new ResizeObserver(() => {
    clearTimeout(fits)
    fits = setTimeout(() => {
      const wide = Math.round(el.clientWidth)
      if (wide && Math.abs(wide - model.wide) > 16) model.wide = wide
    }, model.wide ? 400 : 0)
  })
  ruler.observe(el)
  let waits = {}  // what was asked for, until its file has come
  const ask = (kind) => new Promise((resolve, reject) => { waits[kind] = {resolve, reject}; model.send_msg({take: kind}) })
  model.on("msg:custom", ({kind, name, content, refused}) => {
    waits[kind]?.[refused ? "reject" : "resolve"](refused ? new Error(refused) : {name, content})
    delete waits[kind]
  })
  const card = () => el.getRootNode().host?.getRootNode().host
  const act = (label, title, call) => {
    const button = h("button", {type: "button", title, onclick: async () => {
      button.disabled = true
      try { button.textContent = (await call()) ?? label } catch (problem) { button.textContent = "not possible"; button.title = problem.message }
      setTimeout(() => { button.textContent = label; button.disabled = false }, 1600)
    }}, label)
    return button
  }
  const acts = h("div", {class: "acts"},
    act("Enlarge", "Full screen (Esc leaves it)", async () => { await card()?.requestFullscreen() }),
    act("Copy", "Copy the picture", async () => {
      const made = ask("png").then(({content}) => new Blob([content], {type: "image/png"}))
      await navigator.clipboard.write([new ClipboardItem({"image/png": made})])
      return "copied"
    }),
    act("PDF", "The picture for a paper, at column width", async () => { const {name, content} = await ask("pdf"); saveAs(name, content); return "saved" }),
    act("CSV", "The numbers that are drawn", async () => { const {name, content} = await ask("csv"); saveAs(name, content); return "saved" }))
  let full = false
  const whole = () => {
    if (full === Boolean(card()?.matches(":fullscreen"))) return
    full = !full
    const parts = [...card().shadowRoot.children], all = (view) => [view, ...[...view.children()].flatMap(all)]
    for (const part of parts) part.classList.toggle("whole", full)
    setTimeout(() => {  // of itself Bokeh does not paint a figure anew that has become smaller
      for (const each of [...Bokeh.index].flatMap(all))
        if (each.model.type === "Figure" && parts.includes(each.el.getRootNode().host)) each.invalidate_layout()
    }, 600)
  }
  document.addEventListener("fullscreenchange", whole)
  let here = null
  const moved = (event) => {  // the line goes ahead of the run
    const line = here?.name === event.detail.name && here.line ? view.model.document?.get_model_by_id(here.line) : null
    if (line && line.location !== event.detail.value) line.setv({location: event.detail.value}, {sync: false})
  }
  addEventListener("lab-here", moved)
  follow(model, (state) => {
    here = state.here
    dim(el, "--swept", state.stale)
    fill(el,
      h("div", {class: "top"}, h("h3", {}, (state.finding || state.title).replaceAll(/(?<=\w)-(?=\w)/g, "\u2011")), acts),
      h("p", {class: "muted small caption", title: state.caption}, state.finding ? h("b", {}, state.title, " \u00b7 ") : null, state.caption),
      state.note ? h("p", {class: state.again ? "small note" : "muted small", role: "status"}, state.note,
        state.again ? h("button", {type: "button", onclick: press(model, {again: true})}, "Compute") : null) : null,
      h("div", {class: "track", "data-on": state.part != null}, h("i", {style: `width: ${100 * (state.part ?? 0)}%`})),
    )
  })
  return () => { eye.disconnect(); ruler.disconnect(); clearTimeout(fits); removeEventListener("lab-here", moved); document.removeEventListener("fullscreenchange", whole) }
}
