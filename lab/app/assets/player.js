// Play, and a slider along what the picture moves in. The frames are on the sources of the figure, as tags. The one that leads
// the page is large, has a curve, follows the keys, and plays once by itself. In a share, which has no server, it tells what it
// shows, and is the slider too: its places then have names, it begins at one of them, and keeps still.
const SPAN = 4000, PACES = [1, 2, 4, 0.25, 0.5]  // milliseconds of all frames
const pairs = (map) => map instanceof Map ? [...map] : Object.entries(map)
const entry = (map, key) => map instanceof Map ? map.get(key) : map[key]

export function render({model, el, view}) {
  let state = {places: [], ids: []}, playing = null, at = -1, place = null, pace = 0, begun = false, rests = null
  const main = Boolean(stateOf(model).main)
  const play = h("button", {type: "button", class: "play", "aria-label": "play", title: main ? "Play (space)" : "Play"}, "▶")
  const slider = h("input", {type: "range", min: 0, max: 0, step: 1, value: 0, name: main ? "scrubber" : ""})
  const told = h("output", {})
  const speed = h("button", {type: "button", class: "pace", title: "Speed"}, "1×")
  const here = h("b", {}), label = h("span", {}), curve = h("div", {class: "curve"}), ticks = h("div", {class: "ticks", "aria-hidden": "true"})
  const row = main
    ? h("div", {class: "rail"}, h("div", {class: "what"}, h("div", {class: "value"}, play, told, speed)),
      h("div", {class: "way"}, h("div", {class: "told"}, here, label), curve, slider, ticks))
    : h("div", {class: "reel"}, play, slider, told)
  row.hidden = !main  // the one that leads keeps its place while its frames are drawn
  fill(el, row)

  const nameOf = (k) => state.names?.[k] ?? figureOf(state.places[k])
  const show = (k, kept = false) => {
    at = k
    if (!kept) place = state.places[k]
    slider.value = k
    const last = Math.max(state.places.length - 1, 1)
    tell(told, state.name, nameOf(k))
    slider.setAttribute("aria-valuetext", told.textContent)
    if (main) {
      slider.style.setProperty("--part", `${100 * k / last}%`)
      here.textContent = state.texts ? `${told.textContent}: ${state.texts[k]}` : ""
      drawCurve(curve, (state.heights ?? []).map((height, i) => [i / last, height]), k / last, false)
    }
    for (const id of state.ids) {
      const source = view.model.document?.get_model_by_id(id)
      const reel = source?.tags.map((tag) => entry(tag, "frames")).find((frames) => frames)
      if (!reel) continue
      // the server need not hear of it
      source.setv({data: {...Object.fromEntries(pairs(source.data)), ...Object.fromEntries(pairs(reel[k]))}}, {sync: false})
    }
    view.shown?.(k)
  }
  const rest = () => { clearTimeout(rests); rests = setTimeout(() => { if (model.frame !== at) model.frame = at }, 200) }
  const stop = () => {
    cancelAnimationFrame(playing)
    playing = null
    play.textContent = "▶"
    play.setAttribute("aria-label", "play")
    rest()
  }
  const start = () => {
    if (at >= state.places.length - 1) show(0)
    let span = SPAN / PACES[pace], began = performance.now() - at / state.places.length * span
    play.textContent = "❚❚"
    play.setAttribute("aria-label", "pause")
    const turn = (now) => {
      const n = state.places.length  // there may be more of them now
      if (span !== SPAN / PACES[pace]) { span = SPAN / PACES[pace]; began = now - at / n * span }
      const k = Math.max(0, Math.min(n - 1, Math.floor((now - began) / span * n)))
      if (k !== at) show(k)
      if (k >= n - 1) return stop()
      playing = requestAnimationFrame(turn)
    }
    playing = requestAnimationFrame(turn)
  }
  const go = (k) => { if (playing != null) stop(); show(Math.max(0, Math.min(state.places.length - 1, k))); rest() }
  play.onclick = () => playing == null ? start() : stop()
  speed.onclick = () => { pace = (pace + 1) % PACES.length; speed.textContent = `${{0.25: "¼", 0.5: "½"}[PACES[pace]] ?? PACES[pace]}×` }
  slider.oninput = () => go(Number(slider.value))
  curve.onclick = (event) => {
    const box = curve.getBoundingClientRect()
    go(Math.round((event.clientX - box.left) / box.width * (state.places.length - 1)))
  }
  const keys = main ? {"lab-play": () => play.click(), "lab-move": (event) => { if (!slider.disabled) go(at + event.detail) }} : {}
  for (const [name, call] of Object.entries(keys)) addEventListener(name, call)
  const alone = main ? sheet(el) : () => {}
  follow(model, (next) => {
    const ended = place == null || at === state.places.length - 1
    state = next
    const n = state.places.length
    row.hidden = n < 2 && !main
    play.disabled = slider.disabled = n < 2
    if (n < 2) { if (playing != null) stop(); if (main) told.textContent = "…"; return }
    slider.max = n - 1
    slider.setAttribute("aria-label", state.name)
    if (main) {
      label.textContent = state.label ? `${state.label}, against ${state.name}${state.logs ? ", log scale" : ""}` : ""
      const few = state.names ? state.names.map((_, k) => k) : [...new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * (n - 1))))]
      const wide = 8 + 7 * Math.max(...few.map((k) => nameOf(k).length)), every = Math.ceil(few.length * wide / 320)
      fill(ticks, few.map((k, i) => h("span", {style: `left:${100 * k / (n - 1)}%`, class: i % every ? "more" : null}, nameOf(k))))
    }
    // more frames, or those of another run: the one that is nearest to where one was
    const nearest = () => state.places.reduce((best, each, k) => Math.abs(each - place) < Math.abs(state.places[best] - place) ? k : best, 0)
    if (state.at != null) show(state.at)
    else if (ended && playing == null) show(n - 1)
    else show(nearest(), true)
    if (main && !begun && !state.still) {  // once, from the beginning, so that one sees what moves
      begun = true
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) { show(0); start() }
    }
  })
  return () => { cancelAnimationFrame(playing); alone(); for (const [name, call] of Object.entries(keys)) removeEventListener(name, call) }
}
