// A share: pictures that are swapped when a slider moves, and what stands with them. All data are in the page.
const part = (id) => document.getElementById(id)?.shadowRoot
const box = (id) => part(id)?.querySelector(".box")
const bytesOf = (id) => {
  const text = atob(document.getElementById(id).textContent.trim()), bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  return bytes
}
const unpacked = (id) => new Response(new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer()
// A model as Panel gives it to a part of a page, without Panel.
const modelOf = (state, heard = () => {}) => {
  const calls = []
  return {
    state: JSON.stringify(state), frame: -1, send_msg: heard, on: (_, call) => calls.push(call),
    put(next) { this.state = JSON.stringify(next); for (const call of calls) call() },
  }
}

// ---- arrays ---------------------------------------------------------------------------------------------------------
const SIZES = {uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4, float64: 8}
const joined = (planes, size) => {  // the bytes of each number side by side again
  const count = planes.length / size, bytes = new Uint8Array(planes.length)
  for (let plane = 0; plane < size; plane++)
    for (let at = 0; at < count; at++) bytes[at * size + plane] = planes[plane * count + at]
  return bytes
}
const arrayOf = ({kind, dtype, shape, low, step, data}) => {
  let bytes
  if (kind === "raw") bytes = joined(data, SIZES[dtype] ?? 1)
  else {
    const codes = kind === "shades" ? data : new Uint16Array(joined(data, 2).buffer), none = kind === "shades" ? 255 : 65535
    const values = Float32Array.from(codes, (code) => code === none ? NaN : low + step * code)
    bytes = new Uint8Array(values.buffer)
  }
  return {type: "ndarray", array: {type: "bytes", data: bytes}, dtype, shape, order: "little"}
}
const filled = (value, blobs) => {
  if (Array.isArray(value)) return value.map((each) => filled(each, blobs))
  if (value === null || typeof value !== "object") return value
  if (typeof value.blob === "number") return arrayOf(blobs[value.blob])
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, filled(each, blobs)]))
}

// ---- pictures -------------------------------------------------------------------------------------------------------
const COLUMN = "data "
const RANGE = new Set(["start", "end", "reset_start", "reset_end"])
class Figure {
  constructor({whole, moving, states}, share, holder) {
    Object.assign(this, {whole, moving, states, share, holder, now: states[0], ready: null, built: false})
  }
  build() {
    return this.ready ??= (async () => {
      const views = await Bokeh.embed.embed_item({doc: filled(this.whole, this.share.blobs), root_id: "m0"}, this.holder)
      this.root = views.roots[0].model
      this.built = true
    })()
  }
  show(state) {
    const wanted = this.states[state], columns = new Map(), events = []
    let ranged = false
    this.moving.forEach(([number, name], at) => {
      if (this.now[at] === wanted[at]) return
      const value = filled(this.share.values[wanted[at]], this.share.blobs)
      if (name.startsWith(COLUMN)) {
        if (!columns.has(number)) columns.set(number, [])
        columns.get(number).push([name.slice(COLUMN.length), value])
      } else {
        ranged ||= RANGE.has(name)
        events.push({kind: "ModelChanged", model: {id: `m${number}`}, attr: name, new: value})
      }
    })
    for (const [number, entries] of columns)
      events.push({kind: "ColumnDataChanged", model: {id: `m${number}`}, attr: "data", data: {type: "map", entries}, cols: entries.map(([name]) => name)})
    this.now = wanted
    if (events.length) this.root.document.apply_json_patch({events})
    if (ranged) {  // what keeps scales equal listens to that
      this.root.tags = this.root.tags.map((tag) => Number.isInteger(tag) ? tag + 1 : tag)
    }
  }
}
class Picture {
  constructor(told, share) {
    Object.assign(this, told)
    this.share = share
    this.card = document.getElementById(`picture-${told.name}`)
    const place = this.card.querySelector(".place")
    this.figures = told.figures.map((figure) => {
      if (!figure) return {holder: {}}
      const holder = h("div", {class: "figure", hidden: true})
      place.append(holder)
      return new Figure(figure, share, holder)
    })
    this.why = this.card.querySelector(".why")
    this.head = this.card.querySelector("h3")
    this.title = this.head.textContent
    if (told.plays) {
      this.model = modelOf({places: [], ids: [], name: told.plays})
      player({model: this.model, el: this.card.querySelector(".under").shadowRoot.querySelector(".box"), view: {shown: (k) => { this.frame = k; this.draw() }}})
    }
  }
  turn(cell, tone) {
    Object.assign(this, {cell: this.cells[cell], tone})
    this.why.textContent = this.cell.why ?? ""
    this.why.hidden = !this.cell.why
    this.head.textContent = this.cell.finding ?? this.title
    this.card.querySelector(".caption b").hidden = !this.cell.finding
    if (this.model && !this.cell.why) {
      if (this.places !== this.cell.places) {
        this.places = this.cell.places
        this.model.put({places: this.places, ids: [], name: this.plays})  // which shows one of several frames
        if (this.places.length > 1) return
      }
    }
    this.draw()
  }
  async draw() {
    if (!this.cell || this.cell.why) {
      for (const figure of this.figures) figure.holder.hidden = true
      return
    }
    const frames = this.cell[this.tone], [number, state] = frames[Math.min(this.frame ?? frames.length - 1, frames.length - 1)]
    const figure = this.figures[number]
    for (const each of this.figures) each.holder.hidden = each !== figure
    this.wanted = [figure, state]
    if (!figure.built) await figure.build()
    if (this.wanted[0] === figure && this.wanted[1] === state) figure.show(state)
  }
}

// ---- the page -------------------------------------------------------------------------------------------------------
const open = async () => {
  const [drawer, content] = await Promise.all(["lab-bokeh", "lab-data"].map(unpacked))
  const script = h("script")
  script.textContent = new TextDecoder().decode(drawer)  // allowed by its hash
  document.head.append(script)
  Bokeh.set_log_level("error")
  const CustomJS = Bokeh.Models.get("CustomJS")
  CustomJS.prototype._compile_function = async function () {  // by name: nothing in this page is made code of
    const {names, call} = CODES[this.code], args = this.args instanceof Map ? Object.fromEntries(this.args) : this.args
    return function (...given) { return call.call(this, ...names.map((name) => args[name]), ...given) }
  }
  const size = new DataView(content).getUint32(0, true)
  const share = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, size)))
  let from = 4 + size
  share.blobs = share.blobs.map(([kind, dtype, shape, low, step, length]) => {
    const data = new Uint8Array(content, from, length)
    from += length
    return {kind, dtype, shape, low, step, data}
  })
  const dark = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement
  const ask = () => {  // a page around this one says so
    const asked = /theme=(light|dark)/.exec(location.hash)?.[1]
    if (asked) root.dataset.theme = asked
  }
  ask()
  const tone = () => root.dataset.theme ?? (dark.matches ? "dark" : "light")
  const pictures = share.pictures.map((each) => new Picture(each, share))
  let at = share.at, steps = null
  const show = () => {
    const cell = share.cells[at]
    for (const picture of pictures) picture.turn(at, tone())
    const heroes = pictures.filter((picture) => picture.hero)
    for (const picture of heroes)  // a picture that has nothing to show gives its place to the others
      picture.card.hidden = Boolean(picture.cells[at].why) && heroes.some((other) => !other.cells[at].why)
    document.body.classList.toggle("off", cell.grid == null)
    const {open: opened} = part("told").querySelector("details") ?? {}
    fill(box("told"), ...parsed(cell.told))
    const details = part("told").querySelector("details")
    if (details && opened) details.open = true
    document.getElementById("here").textContent = cell.here
    steps?.put(told())
  }
  const go = (cell) => {
    at = cell
    share.cells[cell].grid?.forEach((k, axis) => { if (place[axis] !== k) { place[axis] = k; sliders[axis].put(slider(axis)) } })
    show()
  }
  const told = () => ({slug: share.slug, steps: share.steps.map((step) => ({...step, here: step.cell === at, waits: false, link: ""}))})
  // sliders: their places are the kept values, and nothing lies between
  const place = [...share.cells[at].grid], sliders = []
  const slider = (axis) => {
    const {names, symbol, curve} = share.sliders[axis]
    return {places: names.map((_, k) => k), names, name: symbol, ...curve, ids: [], at: place[axis], main: true, still: true}
  }
  const onGrid = () => share.cells.findIndex(({grid}) => grid?.every((k, axis) => k === place[axis]))
  share.sliders.forEach((_, axis) => {
    sliders.push(modelOf(slider(axis)))
    player({model: sliders[axis], el: box(`slider-${axis}`), view: {shown: (k) => {
      if (place[axis] === k) return  // it was put there
      place[axis] = k
      go(onGrid())
    }}})
  })
  if (share.steps.length) {
    const answered = ({press, answer}) => {
      const step = share.steps[press ?? answer]
      if (press != null && step.cell != null) go(step.cell)
    }
    stepper({model: steps = modelOf(told(), answered), el: box("steps")})
  }
  dark.addEventListener("change", show)
  addEventListener("hashchange", () => { ask(); show() })
  document.getElementById("theme").onclick = () => { root.dataset.theme = tone() === "dark" ? "light" : "dark"; show() }
  document.getElementById("back").onclick = () => go(onGrid())
  for (const button of document.querySelectorAll("[data-copy]")) button.onclick = async () => {
    const label = button.textContent
    try { await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent); button.textContent = "Copied" } catch {
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy))
      button.textContent = "Selected: press Ctrl-C"
    }
    setTimeout(() => { button.textContent = label }, 1600)
  }
  show()
  await Promise.all(pictures.flatMap((picture) => picture.figures.filter((figure) => figure.ready).map((figure) => figure.ready)))
  document.body.classList.add("ready")
}
const parsed = (html) => {
  const holder = document.createElement("template")
  holder.innerHTML = html
  return [...holder.content.childNodes]
}
open().catch((problem) => {
  console.error(problem)
  const note = document.getElementById("note")
  note.hidden = false
  note.textContent = `The pictures can't be shown: ${problem.message}. This file needs a browser of 2023 or later, with scripts allowed.`
})
