// A place to drop one or two files. They travel in pieces; nothing leaves the browser that is over the limit.
const PIECE = 4 * 2 ** 20

export function render({model, el}) {
  let busy = false
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
      model.send_msg({step: "begin"})
      let sent = 0
      for (const [index, file] of files.entries()) {
        for (let from = 0; from === 0 || from < file.size; from += PIECE) {
          const piece = await file.slice(from, from + PIECE).arrayBuffer()
          model.send_msg({step: "piece", index, name: file.name, content: piece})
          sent += piece.byteLength
          if (size > PIECE) say(`Sending … ${Math.round(100 * sent / size)} %`)
        }
      }
      model.send_msg({step: "end"})
    } catch (error) {
      say(`The file can't be read by the browser: ${error.message}`, true)
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
  el.append(formats)
  follow(model, (state) => { formats.textContent = state.formats; say(state.says, state.wrong) })
}
