// The controls of a study. The page's state lives in Python: a change is sent as (name, text) and comes back as values.
const number = (item, send) => {
  const box = h("input", {
    type: "text", class: "box", inputmode: "decimal", "aria-label": `${item.title}, value`, spellcheck: "false", name: item.name,
  })
  let sent = "", held = false
  const submit = (text) => { if (text !== sent) { sent = text; send(item.name, text) } }
  box.addEventListener("change", () => submit(box.value.trim()))
  box.addEventListener("focus", () => box.select())
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { submit(box.value.trim()); box.select() }
    const way = {ArrowUp: 1, ArrowDown: -1}[event.key]
    if (!way || item.low == null) return
    event.preventDefault()
    const value = Number(box.value)
    const next = item.whole ? value + way : item.log ? value * 10 ** (way / 10) : value + way * (item.high - item.low) / LINEAR_STEPS
    box.value = item.whole ? next : Number(next.toPrecision(3))
    submit(box.value)
  })
  const name = h("label", {title: item.doc}, h("b", {}, item.title), h("span", {class: "muted"}, item.brief))
  const row = h("div", {class: "head"}, name, box)
  if (!item.slider) {
    const element = h("div", {class: "control"}, row)
    return {element, show: (text) => { sent = text; box.value = text }}
  }
  const scale = places(item)
  const slider = h("input", {type: "range", min: 0, max: scale.count, step: 1, "aria-label": item.title, name: item.name})
  const fill = () => slider.style.setProperty("--part", `${100 * slider.value / Math.max(scale.count, 1)}%`)
  let frame = 0
  slider.addEventListener("input", () => {
    const text = String(scale.at(Number(slider.value)))
    box.value = text
    slider.setAttribute("aria-valuetext", text)
    fill()
    dispatchEvent(new CustomEvent("lab-here", {detail: {name: item.name, value: Number(text)}}))
    if (!element.dataset.live || frame) return
    frame = requestAnimationFrame(() => { frame = 0; submit(String(scale.at(Number(slider.value)))) })
  })
  slider.addEventListener("change", () => submit(String(scale.at(Number(slider.value)))))
  slider.addEventListener("pointerdown", () => { held = true })
  slider.addEventListener("pointerup", () => { held = false })
  slider.addEventListener("pointercancel", () => { held = false })
  const element = h("div", {class: "control"}, row, slider)
  return {
    element,
    show: (text) => {
      sent = text
      if (held) return  // the hand is on it
      if (element.getRootNode().activeElement !== box || box.value !== text) box.value = text
      const place = clamp(scale.of(Number(text)), 0, scale.count)
      if (scale.at(Number(slider.value)) !== Number(text)) slider.value = place
      slider.setAttribute("aria-valuetext", text)
      fill()
    },
  }
}

const caption = (item) => h("div", {class: "head"},
  h("label", {title: item.doc}, h("b", {}, item.title), h("span", {class: "muted"}, item.brief)))

// One of a few, side by side or in a list, under the parameter's own caption.
const oneOf = (way) => (item, send) => {
  const {element, show} = way({...item, options: item.options.map((option) => [option, option])}, send)
  return {element: h("div", {class: "control"}, caption(item), element), show}
}

const toggle = (item, send) => {
  const box = h("input", {type: "checkbox", role: "switch", "aria-label": item.title, name: item.name,
    onchange: () => send(item.name, String(box.checked))})
  const row = h("div", {class: "head"}, h("label", {title: item.doc}, h("b", {}, item.title), h("span", {class: "muted"}, item.brief)), box)
  return {element: h("div", {class: "control"}, row), show: (text) => { box.checked = text === "true" }}
}

const CONTROLS = {number, segmented: oneOf(segments), select: oneOf(select), switch: toggle}

export function render({model, el}) {
  let drawn = "", parts = {}, values = {}
  const fits = ({among, least}, text) => among ? among.includes(text) : Number(text) >= least
  const mark = (name, off) => {
    const {element} = parts[name]
    element.classList.toggle("off", Boolean(off))
    element.title = off || ""
    for (const input of element.querySelectorAll("input, select, button")) input.disabled = Boolean(off)
  }
  const send = (name, text) => {
    model.send_msg({name, text})
    values = {...values, [name]: text}
    for (const item of stateOf(model).groups.flatMap((group) => group.items)) if (name in item.when)  // at once: the page may compile first
      mark(item.name, Object.entries(item.when).every(([other, of]) => !(other in values) || fits(of, values[other])) ? "" : `has no effect with this ${name}`)
  }
  follow(model, (state) => {
    const shape = JSON.stringify(state.groups)
    if (shape !== drawn) {
      const old = parts
      const focused = el.getRootNode().activeElement?.name
      const [type, open] = [el.getRootNode().activeElement?.type, el.querySelector("details")?.open]
      parts = {}
      const build = (item) => {
        const same = old[item.name]
        parts[item.name] = same && same.shape === JSON.stringify(item)
          ? same : {...CONTROLS[item.kind](item, send), shape: JSON.stringify(item)}
        return parts[item.name].element
      }
      el.replaceChildren(...state.groups.map((group) => group.folds
        ? h("details", {open: open ?? group.open}, h("summary", {class: "label"}, group.title), group.items.map(build))
        : h("section", {}, h("div", {class: "label"}, group.title), group.items.map(build))))
      drawn = shape
      if (focused) el.querySelector(`[name="${focused}"][type="${type}"]`)?.focus()
    }
    values = state.values
    for (const [name, part] of Object.entries(parts)) {
      part.show(state.values[name])
      part.element.toggleAttribute("data-live", state.live)
      if (state.live) part.element.dataset.live = "yes"
      mark(name, state.off[name])
      const refused = name === state.at
      part.element.toggleAttribute("data-refused", refused)
      if (refused) {
        part.element.dataset.refused = state.refused
        const fold = part.element.closest("details")
        if (fold) fold.open = true
      }
      for (const input of part.element.querySelectorAll("input, select, button")) {
        if (input.type !== "submit" && input.type !== "button") input.setAttribute("aria-invalid", refused)
      }
    }
  })
}
