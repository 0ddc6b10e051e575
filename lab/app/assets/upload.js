// A place to drop one or two files. They travel in pieces; nothing leaves the browser that is over the limit.
const PIECE = 2 ** 20, REFUSED = Symbol("the server refused the upload")

export function render({model, el}) {
  let busy = false
  let answered = () => {}
  const say = (sentence, wrong = false) => { says.textContent = sentence; says.classList.toggle("wrong", wrong) }
  const input = h("input", {type: "file", multiple: true, tabindex: "-1", "aria-label": "your own data",
    onchange: () => { take([...input.files]); input.value = "" }})
  const says = h("div", {class: "says", role: "status"})
  const zone = h("button", {type: "button", class: "zone", onclick: () => input.click()},
    h("b", {}, "Bring your own"), h("span", {class: "muted"}, "drop files here, or choose them"))
  const take = async (files) => {
    if (busy || !files.length) return
    const state = stateOf(model)
    if (files.length > state.most) { say(state.too_many, true); return }
    const size = files.reduce((sum, file) => sum + file.size, 0)
    if (size > state.limit) {
      const mebibytes = Number((size / 2 ** 20).toPrecision(3))
      say(`${files.map((file) => file.name).join(" and ")} ${files.length > 1 ? "have" : "has"} ${mebibytes} MiB, ${state.too_large}`, true)
      return
    }
    busy = true
    zone.disabled = true
    try {
      const answer = new Promise((resolve) => { answered = () => stateOf(model).begun > state.begun && resolve() })
      model.send_msg({step: "begin", size})
      await answer
      let sent = 0
      for (const [index, file] of files.entries()) {
        for (let from = 0; from === 0 || from < file.size; from += PIECE) {
          const piece = await file.slice(from, from + PIECE).arrayBuffer()
          if (stateOf(model).refused) throw REFUSED
          model.send_msg({step: "piece", index, name: file.name, content: piece})
          sent += piece.byteLength
          if (size > PIECE) say(`Sending … ${Math.round(100 * sent / size)} %`)
        }
      }
      model.send_msg({step: "end"})
    } catch (error) {
      if (error === REFUSED) say(stateOf(model).says, true)
      else say(`The file can't be read by the browser: ${error.message}`, true)
    }
    busy = false
    zone.disabled = false
  }
  const over = (on) => (event) => { event.preventDefault(); zone.classList.toggle("over", on) }
  zone.addEventListener("dragenter", over(true))
  zone.addEventListener("dragover", over(true))
  zone.addEventListener("dragleave", over(false))
  zone.addEventListener("drop", (event) => { over(false)(event); take([...event.dataTransfer.files]) })
  el.append(zone, input, says)
  const formats = h("div", {class: "formats muted"})
  const pad = drawing(take)
  el.append(formats, pad)
  follow(model, (state) => {
    formats.textContent = state.formats
    pad.clouds(state.clouds)
    say(state.says, state.wrong)
    answered()
  })
}

// A pad to draw clouds of points on, by strokes of a spray; each goes its way as a table of two columns.
const HALF = 4, SPREAD = 0.12, EACH = 3, MOST = 2000, NAMES = ["source", "target"]
function drawing(take) {
  let clouds = [[]], at = 0
  const canvas = h("canvas", {width: 512, height: 512, role: "img", "aria-label": `a square from -${HALF} to ${HALF}: draw points in it`})
  const told = h("span", {class: "muted small"})
  const which = h("select", {"aria-label": "cloud that is drawn", onchange: () => { at = which.selectedIndex }})
  const use = h("button", {type: "button", onclick: () => take(clouds.map((points, k) => new File(
    ["x1,x2\n" + points.map((point) => point.map((v) => v.toFixed(4)).join(",")).join("\n")],
    clouds.length > 1 ? `drawn ${NAMES[k]}.csv` : "drawing.csv")))}, "Use these points")
  const clear = h("button", {type: "button", onclick: () => { clouds = clouds.map(() => []); paint() }}, "Clear")
  const paint = () => {
    const pen = canvas.getContext("2d"), colour = (name) => getComputedStyle(canvas).getPropertyValue(name)
    const place = (v) => (v + HALF) / (2 * HALF) * canvas.width
    pen.clearRect(0, 0, canvas.width, canvas.height)
    pen.fillStyle = colour("--line")
    for (let v = 1 - HALF; v < HALF; v++) {
      pen.fillRect(place(v), 0, v ? 1 : 3, canvas.height)
      pen.fillRect(0, place(v), canvas.width, v ? 1 : 3)
    }
    clouds.forEach((points, k) => {
      pen.fillStyle = colour(k ? "--second" : "--accent")
      for (const [x, y] of points) { pen.beginPath(); pen.arc(place(x), place(-y), 3.5, 0, 7); pen.fill() }
    })
    use.disabled = clouds.some((points) => points.length < 2)
    told.textContent = clouds.map((points) => points.length).join(" and ") + " points"
  }
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
  const spray = (event) => {
    if (!event.buttons || clouds[at].length >= MOST / clouds.length ** 2) return
    const box = canvas.getBoundingClientRect()
    const x = ((event.clientX - box.left) / box.width - 0.5) * 2 * HALF
    const y = (0.5 - (event.clientY - box.top) / box.height) * 2 * HALF
    for (let k = 0; k < EACH; k++) clouds[at].push([x + SPREAD * normal(), y + SPREAD * normal()])
    paint()
  }
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); spray(event) })
  canvas.addEventListener("pointermove", spray)
  const pad = h("details", {class: "pad", ontoggle: () => paint()}, h("summary", {}, "Draw points"), canvas,
    h("div", {class: "row"}, which, use, clear), told)
  pad.clouds = (count) => {
    pad.hidden = !count
    which.hidden = count < 2
    if (count === clouds.length) return
    clouds = Array.from({length: count}, (_, k) => clouds[k] ?? [])
    which.replaceChildren(...NAMES.slice(0, count).map((name) => h("option", {}, name)))
    paint()
  }
  return pad
}
