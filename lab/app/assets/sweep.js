// The axes of a sweep, what the sweep will do, and how far it is.
const axis = (item, send) => {
  const tick = h("input", {type: "checkbox", role: "switch", name: `tick-${item.name}`, "aria-label": `sweep ${item.title}`,
    onchange: () => send({tick: item.name, on: tick.checked})})
  const field = h("input", {type: "text", class: "field", name: `axis-${item.name}`, spellcheck: "false", autocomplete: "off",
    "aria-label": `values of ${item.title}`})
  let sent = ""
  field.addEventListener("change", () => { if (field.value.trim() !== sent) send({text: sent = field.value.trim(), name: item.name}) })
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") field.blur() })
  const said = h("p", {class: "small said", role: "status"})
  const element = h("div", {class: "axis-row"}, tick,
    h("label", {title: item.doc}, h("b", {}, item.title), h("span", {class: "muted"}, item.brief)),
    h("div", {class: "values"}, field, said))
  return {element, show: (state) => {
    const on = state.ticked.includes(item.name)
    tick.checked = on
    tick.disabled = state.running
    field.disabled = state.running
    sent = state.texts[item.name]
    if (element.getRootNode().activeElement !== field) field.value = sent
    element.classList.toggle("off", !on)
    const wrong = state.refused[item.name]
    said.textContent = wrong || (on ? state.counts[item.name] || "" : item.idle)
    said.className = wrong ? "small said wrong" : "muted small said"
    field.setAttribute("aria-invalid", Boolean(wrong))
  }}
}

export function render({model, el}) {
  const send = (message) => model.send_msg(message)
  let drawn = "", parts = []
  const axes = h("div", {class: "axes"})
  const says = h("div", {class: "plan", role: "status"})
  const run = h("button", {type: "button", class: "strong", onclick: () => send({run: true})}, "Run the sweep")
  const stop = h("button", {type: "button", class: "stop", onclick: () => { stop.disabled = true; send({stop: true}) }}, "Stop")
  stop.onpointerdown = (event) => stop.setPointerCapture(event.pointerId)  // what comes above may push it aside while it is pressed
  const retry = h("button", {type: "button", onclick: () => send({retry: true})}, "Try the failed cells again")
  const bar = h("i"), track = h("div", {class: "track"}, bar)
  const progress = h("p", {class: "small muted", role: "status"})
  fill(el, h("div", {class: "root"}, axes, h("div", {class: "side"}, h("div", {class: "label"}, "Plan"), says, h("div", {class: "row"}, run, stop, retry), track, progress)))
  follow(model, (state) => {
    const shape = JSON.stringify([state.axes, state.more])
    if (shape !== drawn) {
      drawn = shape
      parts = []
      const build = (item) => { const part = axis(item, send); parts.push(part); return part.element }
      const open = el.querySelector("details")?.open ?? state.more.some((item) => state.ticked.includes(item.name))
      fill(axes, h("div", {class: "label"}, "Axes"), state.axes.map(build),
        state.more.length ? h("details", {open}, h("summary", {class: "label"}, "More"), state.more.map(build)) : null,
        h("p", {class: "muted small syntax"}, state.syntax))
    }
    for (const part of parts) part.show(state)
    fill(says, state.says.map((line, i) => h("p", {class: i ? "muted small" : "head"}, line)),
      state.wrong ? h("p", {class: "wrong"}, state.wrong) : null)
    run.disabled = !state.ready
    run.textContent = state.run
    run.hidden = state.running
    stop.hidden = !state.running
    stop.disabled = state.stopping
    retry.hidden = !state.failed || state.running
    retry.textContent = state.failed === 1 ? "Try the failed cell again" : `Try the ${state.failed} failed cells again`
    track.classList.toggle("unknown", state.running && state.part == null)
    track.hidden = !state.running
    bar.style.width = state.part == null ? "" : `${100 * state.part}%`
    progress.textContent = state.progress
  })
}
