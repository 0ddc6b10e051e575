// Play, and a slider along what the picture moves in. The frames are on the sources of the figure, as tags.
const SPAN = 4000, REST = 900  // milliseconds of all frames, and of rest at the end
const pairs = (map) => map instanceof Map ? [...map] : Object.entries(map)
const entry = (map, key) => map instanceof Map ? map.get(key) : map[key]

export function render({model, el, view}) {
  const play = h("button", {type: "button", "aria-label": "play"}, "▶")
  const slider = h("input", {type: "range", min: 0, max: 0, step: 1, value: 0})
  const told = h("output", {})
  const row = h("div", {class: "player"}, play, slider, told)
  row.hidden = true
  fill(el, row)
  let state = {places: [], ids: []}, playing = null, at = -1

  const show = (k) => {
    at = k
    slider.value = k
    const place = Number(state.places[k].toPrecision(3))
    told.textContent = `${state.name} = ${place}`
    slider.setAttribute("aria-valuetext", told.textContent)
    for (const id of state.ids) {
      const source = view.model.document?.get_model_by_id(id)
      const reel = source?.tags.map((tag) => entry(tag, "frames")).find((frames) => frames)
      if (!reel) continue
      // the server need not hear of it
      source.setv({data: {...Object.fromEntries(pairs(source.data)), ...Object.fromEntries(pairs(reel[k]))}}, {sync: false})
    }
  }
  const rest = () => { clearTimeout(tell); tell = setTimeout(() => { if (model.frame !== at) model.frame = at }, 200) }
  let tell = null
  const stop = () => {
    cancelAnimationFrame(playing)
    playing = null
    play.textContent = "▶"
    play.setAttribute("aria-label", "play")
    rest()
  }
  const start = () => {
    const n = state.places.length
    const began = performance.now() - (at >= n - 1 ? 0 : at / n * SPAN)
    play.textContent = "❚❚"
    play.setAttribute("aria-label", "pause")
    const turn = (now) => {
      const k = Math.min(n - 1, Math.floor((now - began) / SPAN * n))
      if (k !== at) show(k)
      if (now - began > SPAN + REST) { playing = null; start(); return }
      playing = requestAnimationFrame(turn)
    }
    if (at >= n - 1) show(0)
    playing = requestAnimationFrame(turn)
  }
  play.onclick = () => playing == null ? start() : stop()
  slider.oninput = () => { if (playing != null) stop(); show(Number(slider.value)); rest() }
  follow(model, (next) => {
    const last = state.places.length - 1
    state = next
    const n = state.places.length
    row.hidden = n < 2
    if (n < 2) { if (playing != null) stop(); return }
    slider.max = n - 1
    slider.setAttribute("aria-label", state.name)
    show(at < 0 || at >= n || at === last ? n - 1 : at)
  })
  return () => cancelAnimationFrame(playing)
}
