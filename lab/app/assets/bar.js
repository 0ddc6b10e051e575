// Undo, redo, reset, present, share; the keys of the page; the talk that stands around the hero while one presents.
const ICONS = {
  undo: "M3 6h6.5a3.5 3.5 0 0 1 0 7H6M3 6l3-3M3 6l3 3", redo: "M13 6H6.5a3.5 3.5 0 0 0 0 7H10M13 6l-3-3M13 6l-3 3",
  reset: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3", present: "M2 3h12v8H2zM8 11v3M5.5 14h5", share: "M8 10V2M5 4.5 8 1.5l3 3M3 8v6h10V8",
  ghost: "M3 14V7a5 5 0 0 1 10 0v7l-2-1.6-1.6 1.6-1.4-1.6-1.4 1.6L5 12.4zM6.2 7v.6M9.8 7v.6",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1V9.6M8 12v.2",
}
const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 16 16"); svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  path.setAttribute("d", ICONS[name]); svg.append(path)
  return svg
}
const KEYS = [["space", "play or pause"], ["← →", "move what the hero shows"], ["P", "present"], ["↑ ↓", "steps, while presenting"],
  ["A", "set what the step says, and answer it"], ["G", "keep this behind what follows, to compare"], ["point", "the same thing in every picture; a press keeps it, Esc lets go"], ["Ctrl Z", "undo"], ["Ctrl Shift Z", "redo"], ["Esc", "back to the page"], ["?", "these keys"]]
const put = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text)
  const area = h("textarea", {style: "position:fixed;opacity:0"})
  area.value = text
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove()
}
const tell = (name, detail) => dispatchEvent(new CustomEvent(name, {detail}))

export function render({model, el}) {
  const root = document.documentElement
  let state = stateOf(model), step = -1, known = {steps: [], open: []}
  const act = (name, title, call, cls = "") => h("button", {type: "button", class: cls, title, "aria-label": title, onclick: call},
    icon(name), h("span", {}, name[0].toUpperCase() + name.slice(1)))
  const undo = act("undo", "Undo (Ctrl Z)", () => model.send_msg({do: "undo"}))
  const redo = act("redo", "Redo (Ctrl Shift Z)", () => model.send_msg({do: "redo"}))
  const reset = act("reset", "Back to the preset", () => model.send_msg({do: "reset"}), "wide")
  const ghost = act("ghost", "Keep this behind what follows, to compare (G)", () => model.send_msg({do: "ghost"}), "wide")
  const show = act("present", "Present: only the picture and the steps (P)", () => present(true), "framed")
  const share = act("share", "Copy a link to what is on the page", async () => {
    await put(state.address ? location.href : location.origin + state.link)
    share.lastChild.textContent = "Link copied"
    setTimeout(() => { share.lastChild.textContent = "Share" }, 1800)
  }, "framed")
  const help = h("div", {class: "help", hidden: true, role: "dialog", "aria-label": "Keys", onclick: () => { help.hidden = true }},
    h("div", {}, h("h2", {}, "Keys"), h("dl", {}, KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]))))
  const talk = h("div", {class: "talk"}), foot = h("div", {class: "foot"},
    ...[["← →", "move"], ["space", "play"], ["↑ ↓", "step"], ["A", "answer"]].map(([key, what]) => h("span", {}, h("kbd", {}, key), ` ${what}`)),
    h("span", {}, h("kbd", {}, "Esc"), " back to the page"))
  fill(el, h("div", {class: "acts"}, undo, redo, reset, ghost, h("i", {}), show, share), help, talk, foot)

  const speak = () => {
    const at = known.steps[step], told = at && known.open.includes(step) && at.answer
    const [brand, lab] = ["Transport", "Lab"]
    fill(talk, h("div", {class: "row"}, h("span", {class: "mark"}, brand, h("b", {}, lab)), h("span", {}, `${state.title} · ${state.paper}`),
      h("span", {class: "dots"}, known.steps.map((_, i) => h("i", {class: i === step ? "at" : ""})),
        h("span", {}, step < 0 ? `${known.steps.length} steps` : `step ${step + 1} of ${known.steps.length}`))),
      h("h1", {}, at ? [`${at.question} `, told ? h("em", {class: at.holds ? "" : "not"}, at.answer) : null] : state.title))
  }
  const present = (on) => {
    root.classList.toggle("present", on)
    root.style[on ? "setProperty" : "removeProperty"]("--away", "none")
    talk.classList.toggle("on", on); foot.classList.toggle("on", on)
    if (on) { speak(); scrollTo(0, 0); document.activeElement?.blur?.() }
    tell("lab-present", on)
    dispatchEvent(new Event("resize"))
  }
  const goTo = (next) => {
    if (!known.steps.length) return
    step = Math.max(0, Math.min(known.steps.length - 1, next))
    if (known.open.includes(step)) known.press(step)  // a new one is asked first: the room guesses
    speak()
  }
  const listen = (event) => {
    known = event.detail
    if (root.classList.contains("present")) speak()
  }
  const typing = (event) => {
    const target = event.composedPath()[0]
    return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) || (target.tagName === "INPUT" && !["range", "checkbox"].includes(target.type))
  }
  const press = (event) => {
    const target = event.composedPath()[0], on = root.classList.contains("present")
    // in a notebook the keys are the notebook's, but where the hand is on this page
    if (!state.address && !event.composedPath().includes(el.getRootNode().host?.getRootNode().host)) return
    if (event.key === "Escape") { help.hidden = true; if (on) present(false); return }
    if (typing(event)) return
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault()
      model.send_msg({do: event.shiftKey ? "redo" : "undo"})
      return
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const range = target.tagName === "INPUT", control = ["BUTTON", "A", "SUMMARY"].includes(target.tagName) || range
    const ways = {ArrowRight: 1, ArrowLeft: -1}, steps = {ArrowDown: 1, ArrowUp: -1}
    if (event.key === " " && (!control || (range && target.name === "scrubber"))) { event.preventDefault(); tell("lab-play") }
    else if (ways[event.key] && !range && target.getAttribute?.("role") == null) { event.preventDefault(); tell("lab-move", ways[event.key]) }
    else if (steps[event.key] && on) { event.preventDefault(); goTo(step + steps[event.key]) }
    else if (event.key === "a" && on && known.steps[step]) known.press(step)
    else if (event.key === "p") present(!on)
    else if (event.key === "g") ghost.click()
    else if (event.key === "?") help.hidden = !help.hidden
  }
  const back = () => { if (state.address) model.send_msg({do: "address", query: location.search}) }
  addEventListener("lab-steps", listen); addEventListener("keydown", press); addEventListener("popstate", back)
  follow(model, (given) => { state = given; undo.disabled = !state.undo; redo.disabled = !state.redo
    ghost.disabled = !state.shown && !state.ghost; ghost.setAttribute("aria-pressed", String(Boolean(state.ghost))) })
  return () => { removeEventListener("lab-steps", listen); removeEventListener("keydown", press); removeEventListener("popstate", back) }
}
