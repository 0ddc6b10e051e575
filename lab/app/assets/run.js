// What runs, how far, how long still, Stop; and how to take this state along.
const spark = ({lines, level}) => {
  const w = 268, tall = 34
  const height = (v) => (2 + (tall - 4) * (1 - v)).toFixed(1)
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    return element
  }
  const svg = make("svg", {viewBox: `0 0 ${w} ${tall}`, class: "spark", role: "img", preserveAspectRatio: "none"})
  if (level != null) svg.append(make("line", {x1: 0, x2: w, y1: height(level), y2: height(level), "vector-effect": "non-scaling-stroke"}))
  lines.forEach((values, k) => {
    const at = (v, i) => `${(w * i / Math.max(values.length - 1, 1)).toFixed(1)},${height(v)}`
    const pieces = [[]]  // a gap begins another one
    values.forEach((v, i) => v == null ? pieces.push([]) : pieces.at(-1).push(at(v, i)))
    for (const piece of pieces) if (piece.length > 1)
      svg.append(make("polyline", {points: piece.join(" "), class: `line${k}`, "vector-effect": "non-scaling-stroke"}))
  })
  return svg
}

const copy = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = h("textarea", {style: "position:fixed;opacity:0"})
  area.value = text
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove()
}

export function render({model, el}) {
  let pushed = null
  const text = h("div", {class: "muted small", role: "status"})
  const bar = h("i")
  const track = h("div", {class: "track"}, bar)
  const curve = h("div", {class: "curve"})
  const stop = h("button", {type: "button", class: "stop", onclick: () => model.send_msg(stateOf(model).busy ? {stop: true} : {again: true})}, "Stop")
  stop.onpointerdown = (event) => stop.setPointerCapture(event.pointerId)  // the first curve may push it aside while it is pressed
  const said = h("div", {class: "muted small", role: "status"})
  const copies = [["Python", "python"], ["Command", "command"], ["Link", "link"]].map(([label, key]) =>
    h("button", {type: "button", title: `copy as ${label}`, onclick: async () => {
      const {copies, own, address} = stateOf(model)
      await copy(key === "link" ? location.origin + copies.link + (address ? location.hash : "") : copies[key])
      said.textContent = `${label} copied${own ? "; it names your data, but does not hold them" : ""}`
      setTimeout(() => { said.textContent = "" }, 4000)
    }}, label))
  fill(el, h("div", {class: "row"}, text, stop), track, curve,
    h("div", {class: "row copies"}, h("span", {class: "muted small"}, "Copy as"), copies), said)
  follow(model, (state) => {
    el.classList.toggle("busy", state.busy)
    el.classList.toggle("rest", state.unfinished)
    text.textContent = state.text
    stop.disabled = !state.busy && !state.unfinished
    stop.textContent = state.unfinished ? "Run again" : "Stop"
    stop.title = state.unfinished ? "Run it to its end" : ""
    track.classList.toggle("unknown", state.busy && state.part == null)
    bar.style.width = state.part == null ? "" : `${100 * state.part}%`
    curve.replaceChildren(...state.curves.flatMap((one) => [spark(one), h("div", {class: "muted axis"}, h("span", {}, one.measure),
      h("span", {}, one.last.map((text, k) => h("span", {class: one.last.length > 1 ? `line${k}` : ""}, text))))]))
    if (state.address && location.pathname.endsWith(state.path)) {
      const next = location.pathname + state.query + location.hash
      if (next !== location.pathname + location.search + location.hash) {
        // each change can be gone back from; the way of a slider is one
        const way = pushed == null || performance.now() - pushed < 1000 || state.query === location.search
        pushed = performance.now()
        history[way ? "replaceState" : "pushState"](history.state, "", next)
      } else pushed ??= -1e9
    }
  })
}
