// What runs, how far, how long still, Stop; and how to take this state along.
const spark = (values) => {
  const w = 268, tall = 34
  const points = values.map((v, i) => `${(w * i / Math.max(values.length - 1, 1)).toFixed(1)},${(2 + (tall - 4) * (1 - v)).toFixed(1)}`)
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", `0 0 ${w} ${tall}`)
  svg.setAttribute("class", "spark")
  svg.setAttribute("role", "img")
  svg.setAttribute("preserveAspectRatio", "none")
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline")
  line.setAttribute("points", points.join(" "))
  line.setAttribute("vector-effect", "non-scaling-stroke")
  svg.append(line)
  return svg
}

const copy = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = h("textarea", {style: "position:fixed;opacity:0"})
  area.value = text
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove()
}

export function render({model, el}) {
  const text = h("div", {class: "muted small", role: "status"})
  const bar = h("i")
  const track = h("div", {class: "track"}, bar)
  const curve = h("div", {class: "curve"})
  const stop = h("button", {type: "button", class: "stop", onclick: () => model.send_msg({stop: true})}, "Stop")
  const said = h("div", {class: "muted small", role: "status"})
  const copies = [["Python", "python"], ["Command", "command"], ["Link", "link"]].map(([label, key]) =>
    h("button", {type: "button", title: `copy as ${label}`, onclick: async () => {
      const {copies, own} = stateOf(model)
      await copy(key === "link" ? location.origin + copies.link : copies[key])
      said.textContent = `${label} copied${own ? "; it names your data, but does not hold them" : ""}`
      setTimeout(() => { said.textContent = "" }, 4000)
    }}, label))
  fill(el, h("div", {class: "row"}, text, stop), track, curve,
    h("div", {class: "row copies"}, h("span", {class: "muted small"}, "Copy as"), copies), said)
  follow(model, (state) => {
    el.classList.toggle("busy", state.busy)
    text.textContent = state.text
    stop.disabled = !state.busy
    track.classList.toggle("unknown", state.busy && state.part == null)
    bar.style.width = state.part == null ? "" : `${100 * state.part}%`
    curve.replaceChildren(...(state.curve.length > 1
      ? [spark(state.curve), h("div", {class: "muted axis"}, h("span", {}, state.measure), h("span", {}, state.last))] : []))
    if (state.address && location.pathname.endsWith(state.path)) {
      const next = location.pathname + state.query + location.hash
      if (next !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", next)
    }
  })
}
