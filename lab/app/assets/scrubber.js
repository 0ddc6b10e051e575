// The parameter that moves the hero: play, the value, a curve of one number along it, the track.
const PACES = [1, 2, 4, 0.5], PAUSE = 700  // milliseconds that a picture is looked at while it plays

const COUNT = 1000
// Unlike a slider's places these are even on the scale, so that the curve above is, too.
const scaleOf = ({low, high, whole, log}) => {
  const [from, to] = log ? [Math.log(low), Math.log(high)] : [low, high]
  return {
    of: (v) => ((log ? Math.log(Math.max(v, 1e-300)) : v) - from) / (to - from),
    at: (part) => {
      const raw = from + (to - from) * part, value = log ? Math.exp(raw) : raw
      return whole ? Math.round(value) : Math.min(high, Math.max(low, Number(value.toPrecision(log ? 2 : 3))))
    },
  }
}
const ticksOf = (item, scale, pixels) => {
  const {low, high, whole, log} = item
  const step = 10 ** Math.floor(Math.log10((high - low) / 4)), wide = [1, 2, 5, 10].find((k) => (high - low) / (k * step) <= 8) * step
  const ticks = whole && high - low < 13 ? Array.from({length: high - low + 1}, (_, i) => low + i)
    : log ? Array.from({length: 40}, (_, i) => [1, 2, 5].map((digit) => digit * 10 ** (i - 20))).flat()
      : Array.from({length: 12}, (_, i) => Math.ceil(low / wide + i) * wide)
  const inside = ticks.map((v) => Number(v.toPrecision(6))).filter((v) => v > low && v < high)
  const room = [low], half = (v) => figureOf(v).length * 3.5 + 4  // pixels
  const apart = (v, w) => Math.abs(scale.of(v) - scale.of(w)) > Math.max(0.04, (half(v) + half(w)) / pixels)
  for (const v of inside)  // none that would touch the one before, or the last
    if (apart(v, room.at(-1)) && apart(v, high)) room.push(v)
  return [...room, high]
}
export function render({model, el}) {
  let state = null, scale = null, shape = "", held = false, playing = null, waits = 0, pace = 0, asked = null, current = 0
  const play = h("button", {type: "button", class: "play", "aria-label": "play", title: "Play (space)"}, "▶")
  const value = h("output", {})
  const speed = h("button", {type: "button", class: "pace", title: "Speed"}, "1×")
  const brief = h("div", {class: "brief"})
  const here = h("b", {}), label = h("span", {})
  const curve = h("div", {class: "curve", title: "Press to go there"})
  const range = h("input", {type: "range", min: 0, max: COUNT, step: 1, name: "scrubber"})
  const ticks = h("div", {class: "ticks", "aria-hidden": "true"})
  const row = h("div", {class: "rail"},
    h("div", {class: "what"}, h("div", {class: "value"}, play, value, speed), brief),
    h("div", {class: "way"}, h("div", {class: "told"}, here, label), curve, range, ticks))
  fill(el, row)

  const now = () => current
  const points = () => state.points.map(([v, height]) => [scale.of(v), height])
  const echo = () => {  // at once: the run follows
    const place = clamp(scale.of(current), 0, 1)
    range.style.setProperty("--part", `${100 * place}%`)
    range.setAttribute("aria-valuetext", String(now()))
    tell(value, state.symbol, figureOf(now()))
    const known = state.points.find(([v]) => v === now())
    here.textContent = known ? `${state.symbol} = ${figureOf(now())}: ${known[2]}` : ""
    drawCurve(curve, points(), place)
    dispatchEvent(new CustomEvent("lab-here", {detail: {name: state.name, value: now()}}))
    for (const tick of ticks.children) tick.classList.toggle("at", Number(tick.dataset.v) === now())
  }
  const send = () => { asked = now(); model.send_msg({name: state.name, text: String(now())}) }
  const mark = () => fill(ticks, ticksOf(state, scale, ticks.clientWidth || 520).map((v) =>
    h("span", {"data-v": v, class: v === now() ? "at" : "", style: `left:${100 * scale.of(v)}%`}, figureOf(v))))
  const ruler = new ResizeObserver(() => { if (scale) mark() })
  ruler.observe(ticks)
  const put = (v) => { current = v; range.value = COUNT * clamp(scale.of(v), 0, 1); echo() }
  const go = (v) => { put(v); send() }
  const stop = () => { clearTimeout(waits); playing = null; play.textContent = "▶"; play.setAttribute("aria-label", "play") }
  const stations = () => state.points.length > 2 ? state.points.map(([v]) => v) : [...ticks.children].map((tick) => Number(tick.dataset.v))
  const next = (way) => {
    const all = stations(), at = now()
    return way > 0 ? all.find((v) => v > at + 1e-12 * Math.abs(at)) : all.findLast((v) => v < at - 1e-12 * Math.abs(at))
  }
  const turn = () => {
    const to = next(1)
    if (to === undefined) return stop()
    playing = to
    go(to)
  }
  play.onclick = () => {
    if (playing != null) return stop()
    play.textContent = "❚❚"
    play.setAttribute("aria-label", "pause")
    if (next(1) === undefined) { playing = stations()[0]; go(playing) } else turn()
  }
  speed.onclick = () => { pace = (pace + 1) % PACES.length; speed.textContent = `${PACES[pace] === 0.5 ? "½" : PACES[pace]}×` }
  range.addEventListener("pointerdown", () => { held = true; stop() })
  for (const end of ["pointerup", "pointercancel"]) range.addEventListener(end, () => { held = false })
  let frame = 0
  range.addEventListener("input", () => {
    current = scale.at(range.value / COUNT)
    echo()
    if (!state.live || frame) return
    frame = requestAnimationFrame(() => { frame = 0; send() })
  })
  range.addEventListener("change", () => { if (asked !== now()) send() })
  range.addEventListener("keydown", (event) => {  // from station to station, not by a thousandth
    const way = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key]
    if (!way) return
    event.preventDefault()
    const to = next(way)
    if (to !== undefined) { stop(); go(to) }
  })
  curve.addEventListener("click", (event) => {
    const box = curve.getBoundingClientRect()
    const place = (event.clientX - box.left) / box.width
    stop()
    go(stations().reduce((best, v) => Math.abs(scale.of(v) - place) < Math.abs(scale.of(best) - place) ? v : best))
  })
  const keys = {
    "lab-play": () => play.click(),
    "lab-move": (event) => { const to = next(event.detail); if (to !== undefined) { stop(); go(to) } },
  }
  for (const [name, call] of Object.entries(keys)) addEventListener(name, call)
  const alone = sheet(el)
  follow(model, (given) => {
    state = given
    row.hidden = !state.name
    if (!state.name) return
    const {low, high, whole, log} = state
    if (shape !== JSON.stringify([state.name, low, high, whole, log])) {
      shape = JSON.stringify([state.name, low, high, whole, log])
      scale = scaleOf(state)
      range.setAttribute("aria-label", state.symbol)
      mark()
    }
    range.disabled = play.disabled = Boolean(state.off)
    brief.textContent = state.off || state.brief
    fill(label, state.label, state.todo ? h("button", {type: "button", title: state.todo.title, onclick: press(model, {curve: true})},
      state.todo.label) : null)
    // a hand that is on it, and a run that is on its way, are ahead of the server
    if (!held && !(asked != null && asked !== Number(state.value) && state.busy)) {
      asked = null
      put(Number(state.value))
    } else echo()
    if (playing != null && state.fresh && Number(state.value) === playing) {
      clearTimeout(waits)
      waits = setTimeout(turn, PAUSE / PACES[pace])
    } else if (playing != null && !state.busy && Number(state.value) !== playing) stop()  // it was refused, or another hand moved it
  })
  return () => { stop(); alone(); ruler.disconnect(); for (const [name, call] of Object.entries(keys)) removeEventListener(name, call) }
}
